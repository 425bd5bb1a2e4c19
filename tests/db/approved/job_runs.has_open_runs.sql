-- @P1 VARCHAR(40)
-- @P2 VARCHAR(14)
SELECT TOP 1 ocms_job_run.run_id
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND ocms_job_run.outcome = @P2;
