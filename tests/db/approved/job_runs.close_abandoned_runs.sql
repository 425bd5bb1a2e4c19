-- @P1 DATETIME2(7)
-- @P2 VARCHAR(22)
-- @P3 VARCHAR(26)
-- @P4 VARCHAR(12)
-- @P5 VARCHAR(40)
-- @P6 VARCHAR(14)
UPDATE ocms_job_run SET finished=@P1, outcome=@P2, detail=@P3, reason=@P4 WHERE ocms_job_run.job = @P5 AND ocms_job_run.outcome = @P6;

COMMIT;
