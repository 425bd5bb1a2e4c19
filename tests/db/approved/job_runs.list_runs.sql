SELECT TOP 5 ocms_job_run.run_id, ocms_job_run.job, ocms_job_run.started, ocms_job_run.finished, ocms_job_run.outcome, ocms_job_run.rows, ocms_job_run.detail
FROM ocms_job_run ORDER BY ocms_job_run.run_id DESC;
