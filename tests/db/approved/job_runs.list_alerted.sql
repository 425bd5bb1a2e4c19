-- @P1 VARCHAR(40)
-- @P2 VARCHAR(40)
-- @P3 VARCHAR(18)
-- @P4 INT4
SELECT DISTINCT ocms_job_run.reason
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND ocms_job_run.run_id > coalesce((SELECT max(ocms_job_run.run_id) AS max_1
FROM ocms_job_run
WHERE ocms_job_run.job = @P2 AND ocms_job_run.outcome = @P3), @P4) AND ocms_job_run.alerted IS NOT NULL;
