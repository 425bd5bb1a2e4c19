-- @P1 INT4
SELECT ocms_job_run.run_id, ocms_job_run.job, ocms_job_run.started, ocms_job_run.finished, ocms_job_run.outcome, ocms_job_run.rows, ocms_job_run.detail, ocms_job_run.due, ocms_job_run.reason, ocms_job_run.rows_before, ocms_job_run.added, ocms_job_run.removed, ocms_job_run.changed, ocms_job_run.host, ocms_job_run.alerted
FROM ocms_job_run
WHERE ocms_job_run.run_id = @P1;
