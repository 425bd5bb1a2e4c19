-- @P1 VARCHAR(40)
-- @P2 DATETIME2(7)
-- @P3 DATETIME2(7)
-- @P4 VARCHAR(18)
-- @P5 VARCHAR(12)
-- @P6 VARCHAR(12)
-- @P7 INT4
-- @P8 INT4
SELECT TOP 1 ocms_job_run.run_id, ocms_job_run.job, ocms_job_run.started, ocms_job_run.finished, ocms_job_run.outcome, ocms_job_run.rows, ocms_job_run.detail, ocms_job_run.due, ocms_job_run.reason, ocms_job_run.rows_before, ocms_job_run.added, ocms_job_run.removed, ocms_job_run.changed, ocms_job_run.host, ocms_job_run.alerted
FROM ocms_job_run
WHERE ocms_job_run.job = @P1 AND (ocms_job_run.started > @P2 OR ocms_job_run.finished > @P3) ORDER BY CASE WHEN (ocms_job_run.outcome IN (@P4, @P5, @P6)) THEN @P7 ELSE @P8 END, ocms_job_run.started DESC;
