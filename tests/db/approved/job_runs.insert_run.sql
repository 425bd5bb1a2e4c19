-- @P1 VARCHAR(40)
-- @P2 DATETIME2(7)
-- @P3 VARCHAR(14)
INSERT INTO ocms_job_run (job, started, outcome) OUTPUT inserted.run_id VALUES (@P1, @P2, @P3);

COMMIT;
