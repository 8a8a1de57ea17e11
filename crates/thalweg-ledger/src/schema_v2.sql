-- From version 1 to 2: what an external command says of its own version.

ALTER TABLE runs ADD COLUMN verb_version TEXT;
ALTER TABLE contributions ADD COLUMN verb_version TEXT;
