-- @P1 DATETIME2(7)
-- @P2 VARCHAR(18)
-- @P3 INT4
-- @P4 VARCHAR(1)
-- @P5 INT4
UPDATE ocms_job_run SET finished=@P1, outcome=@P2, rows=@P3, detail=@P4 WHERE ocms_job_run.run_id = @P5;

COMMIT;
