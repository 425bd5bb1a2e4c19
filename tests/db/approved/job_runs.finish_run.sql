-- @P1 DATETIME2(7)
-- @P2 VARCHAR(18)
-- @P3 INT4
-- @P4 VARCHAR(1)
-- @P5 INT4
-- @P6 INT4
-- @P7 INT4
-- @P8 INT4
-- @P9 INT4
-- @P10 VARCHAR(14)
UPDATE ocms_job_run SET finished=@P1, outcome=@P2, rows=@P3, detail=@P4, rows_before=@P5, added=@P6, removed=@P7, changed=@P8 WHERE ocms_job_run.run_id = @P9 AND ocms_job_run.outcome = @P10;

COMMIT;
