-- @P1 VARCHAR(40)
-- @P2 DATETIME2(7)
-- @P3 DATETIME2(7)
-- @P4 VARCHAR(18)
SELECT max(ocms_job_run.finished) AS max_1
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND ocms_job_run.started <= @P2 AND (ocms_job_run.finished IS NULL OR ocms_job_run.finished <= @P3) AND ocms_job_run.outcome = @P4;
