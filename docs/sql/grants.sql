-- All permissions that the login of the OCMS integration service needs. Run this script in the database of OCMS after
-- upgrade.sql, as its owner, in the schema of the tables. Then add the user of the login to the role:
--     ALTER ROLE ocms_integration ADD MEMBER [user];
-- If ALTER on ocms_vip_vehicle is too much, grant DELETE on it instead and set OCMS_VIP_EMPTY_BY=delete.

CREATE ROLE ocms_integration;
GRANT SELECT ON ocms_schema_version TO ocms_integration;
GRANT SELECT, UPDATE (suspension_type, atoms_flag, last_processing_date, next_processing_stage, amount_payable, epr_reason_of_suspension, upd_date, upd_user_id) ON ocms_valid_offence_notice TO ocms_integration;
GRANT SELECT, INSERT, UPDATE (last_eburar_update, payment_allowance_flag, upd_date, upd_user_id) ON ocms_offence_notice_detail TO ocms_integration;
GRANT SELECT, INSERT, ALTER ON ocms_vip_vehicle TO ocms_integration;
GRANT SELECT, INSERT, UPDATE ON ocms_cas_emcons TO ocms_integration;
GRANT SELECT, INSERT, UPDATE ON ocms_court_case TO ocms_integration;
GRANT SELECT, INSERT, UPDATE ON ocms_dayend TO ocms_integration;
GRANT SELECT, INSERT, UPDATE ON ocms_job_run TO ocms_integration;
