DELETE FROM ocms_vip_vehicle;

COMMIT;
