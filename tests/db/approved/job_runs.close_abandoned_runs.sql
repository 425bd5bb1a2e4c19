-- @P1 DATETIME2(7)
-- @P2 VARCHAR(12)
-- @P3 VARCHAR(118)
-- @P4 VARCHAR(40)
-- @P5 VARCHAR(14)
UPDATE ocms_job_run SET finished=@P1, outcome=@P2, detail=@P3 WHERE ocms_job_run.job = @P4 AND ocms_job_run.outcome = @P5;

COMMIT;
