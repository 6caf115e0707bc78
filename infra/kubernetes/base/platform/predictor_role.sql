-- What a model server may do in the database `weir`: read which switches incident response holds, and
-- say that it heeds them. Run once, as the tables' owner, when `incidents respond` has made them:
--   psql --username weir --dbname weir --file predictor_role.sql
-- then \password weir_predictor, as in secret weir-database, key predictor-password.
CREATE ROLE weir_predictor LOGIN;
GRANT SELECT ON switch_holds TO weir_predictor;
GRANT SELECT, INSERT, UPDATE ON switch_readers TO weir_predictor;
