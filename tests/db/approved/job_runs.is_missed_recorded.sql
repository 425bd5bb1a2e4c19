-- @P1 VARCHAR(40)
-- @P2 VARCHAR(40)
-- @P3 VARCHAR(18)
-- @P4 INT4
-- @P5 VARCHAR(12)
SELECT TOP 1 ocms_job_run.run_id
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND ocms_job_run.run_id > coalesce((SELECT max(ocms_job_run.run_id) AS max_1
FROM ocms_job_run
WHERE ocms_job_run.job = @P2 AND ocms_job_run.outcome = @P3), @P4) AND ocms_job_run.outcome = @P5;
