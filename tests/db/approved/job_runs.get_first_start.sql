-- @P1 VARCHAR(40)
SELECT min(ocms_job_run.started) AS min_1
FROM ocms_job_run
WHERE ocms_job_run.job = @P1;
