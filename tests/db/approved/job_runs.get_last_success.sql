-- @P1 VARCHAR(40)
-- @P2 VARCHAR(18)
SELECT max(ocms_job_run.finished) AS max_1
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND ocms_job_run.outcome = @P2;
