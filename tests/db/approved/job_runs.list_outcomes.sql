-- @P1 VARCHAR(40)
-- @P2 DATETIME2(7)
SELECT DISTINCT ocms_job_run.outcome
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND ocms_job_run.started >= @P2;
