-- @P1 VARCHAR(22)
-- @P2 VARCHAR(26)
-- @P3 VARCHAR(12)
-- @P4 VARCHAR(40)
-- @P5 VARCHAR(14)
UPDATE ocms_job_run SET outcome=@P1, detail=@P2, reason=@P3 WHERE ocms_job_run.job = @P4 AND ocms_job_run.outcome = @P5;

COMMIT;
