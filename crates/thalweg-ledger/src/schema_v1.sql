-- Schema of the ledger, version 1. Every time is in microseconds since 1970-01-01 UTC, file times (`*_ns`) in
-- nanoseconds. JSON stands in TEXT columns. Codes of states and kinds are those of `kinds.rs` and never change.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Names, so that a row holds a small number and a rename touches one row.
CREATE TABLE stations (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE steps (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE contents (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  size INTEGER,                                             -- NULL: known by hearsay only
  data_hash BLOB CHECK (data_hash IS NULL OR length(data_hash) = 32)
) STRICT;
CREATE INDEX contents_data ON contents (data_hash) WHERE data_hash IS NOT NULL;

CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  station INTEGER NOT NULL REFERENCES stations (id),
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  group_key TEXT NOT NULL,
  fields TEXT NOT NULL,
  path TEXT NOT NULL,
  start_us INTEGER,
  end_us INTEGER,
  level INTEGER,                                            -- see span_levels; -1: suspect; NULL: no coverage
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  ctime_ns INTEGER NOT NULL,
  ino INTEGER NOT NULL,                                     -- 0: not known, never compared
  dev INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  arrived INTEGER NOT NULL,
  unchanged_since INTEGER NOT NULL,
  closed INTEGER NOT NULL CHECK (closed IN (0, 1)),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
  state_at INTEGER NOT NULL,
  why TEXT,
  origin INTEGER NOT NULL CHECK (origin BETWEEN 0 AND 3),
  run INTEGER REFERENCES runs (id),
  content INTEGER REFERENCES contents (id),
  version INTEGER NOT NULL,
  suspect TEXT,
  UNIQUE (station, path)
) STRICT;
CREATE INDEX files_key ON files (station, product, fields_key);
CREATE INDEX files_group ON files (station, product, group_key, start_us);
CREATE INDEX files_start ON files (product, start_us);
CREATE INDEX files_time ON files (product, station, level, start_us, end_us, state) WHERE level IS NOT NULL;
CREATE INDEX files_content ON files (content) WHERE content IS NOT NULL;
CREATE INDEX files_settling ON files (station, unchanged_since) WHERE state = 0;

-- Lengths of coverage that occur: a file of level L covers at most `width` = 2^L microseconds, so that a search for
-- what overlaps a range can bound the start from below at every level, and one odd long file slows nothing else.
CREATE TABLE span_levels (
  product INTEGER NOT NULL REFERENCES products (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  level INTEGER NOT NULL,
  width INTEGER NOT NULL,
  PRIMARY KEY (product, station, level)
) STRICT, WITHOUT ROWID;

-- Counts kept by the writer, once for each closure: a status page must not read every row, and a trigger would double
-- the cost of an insert.
CREATE TABLE file_tallies (
  station INTEGER NOT NULL,
  product INTEGER NOT NULL,
  state INTEGER NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (station, product, state)
) STRICT, WITHOUT ROWID;
CREATE TABLE versions (
  file INTEGER NOT NULL REFERENCES files (id),
  no INTEGER NOT NULL,
  content INTEGER NOT NULL REFERENCES contents (id),
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  origin INTEGER NOT NULL,
  run INTEGER REFERENCES runs (id),
  PRIMARY KEY (file, no)
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_content ON versions (content);

CREATE TABLE file_fields (
  product INTEGER NOT NULL REFERENCES products (id),
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  file INTEGER NOT NULL REFERENCES files (id),
  PRIMARY KEY (product, name, value, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_fields_file ON file_fields (file);

CREATE TABLE copies (
  id INTEGER PRIMARY KEY,
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  content INTEGER NOT NULL REFERENCES contents (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  path TEXT NOT NULL,
  verified INTEGER NOT NULL,
  verify_mode TEXT NOT NULL,
  present INTEGER NOT NULL CHECK (present IN (0, 1)),
  run INTEGER REFERENCES runs (id),
  UNIQUE (content, product, fields_key, station)
) STRICT;
CREATE INDEX copies_key ON copies (product, fields_key);

CREATE TABLE receipts (
  id INTEGER PRIMARY KEY,
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  content INTEGER NOT NULL REFERENCES contents (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  given INTEGER NOT NULL,
  ledger TEXT NOT NULL,                                     -- who says so: meta 'ledger' of the giver
  relayed_by TEXT,
  inputs TEXT NOT NULL,
  confirmed INTEGER NOT NULL,
  revoked INTEGER,
  UNIQUE (content, product, fields_key, station, ledger)
) STRICT;
CREATE INDEX receipts_key ON receipts (product, fields_key);
CREATE TABLE receipt_inputs (
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  content INTEGER NOT NULL REFERENCES contents (id),
  receipt INTEGER NOT NULL REFERENCES receipts (id),
  PRIMARY KEY (content, product, fields_key, receipt)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  step INTEGER NOT NULL REFERENCES steps (id),
  step_version INTEGER NOT NULL,
  station INTEGER NOT NULL REFERENCES stations (id),
  key TEXT NOT NULL,
  identity BLOB NOT NULL CHECK (length(identity) = 32),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 6),
  class TEXT,
  message TEXT,
  started INTEGER NOT NULL,
  ended INTEGER,
  exit INTEGER,
  signal INTEGER,
  attempt INTEGER NOT NULL,
  retry_at INTEGER,
  pid INTEGER,
  host TEXT NOT NULL,
  program TEXT NOT NULL,
  command TEXT NOT NULL,
  log TEXT,
  staging TEXT,
  partial INTEGER NOT NULL CHECK (partial IN (0, 1)),
  awaited TEXT,
  user_ms INTEGER,
  system_ms INTEGER,
  peak_kib INTEGER,
  report TEXT,
  fresh INTEGER NOT NULL CHECK (fresh IN (0, 1)),
  batch INTEGER REFERENCES runs (id)                        -- first run of the batch that one process carried out
) STRICT;
CREATE INDEX runs_key ON runs (step, key, id);
CREATE INDEX runs_state ON runs (state, id);
CREATE INDEX runs_ended ON runs (ended);

CREATE TABLE run_inputs (
  run INTEGER NOT NULL REFERENCES runs (id),
  role TEXT NOT NULL,
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  content INTEGER REFERENCES contents (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  path TEXT NOT NULL,
  start_us INTEGER,
  end_us INTEGER,
  PRIMARY KEY (run, role, product, fields_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_inputs_key ON run_inputs (product, fields_key);
CREATE INDEX run_inputs_content ON run_inputs (content) WHERE content IS NOT NULL;

CREATE TABLE run_outputs (
  run INTEGER NOT NULL REFERENCES runs (id),
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  station INTEGER NOT NULL REFERENCES stations (id),
  path TEXT NOT NULL,
  content INTEGER REFERENCES contents (id),
  size INTEGER NOT NULL,
  staged_name TEXT NOT NULL,
  published INTEGER NOT NULL CHECK (published IN (0, 1)),
  PRIMARY KEY (run, station, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_outputs_content ON run_outputs (content) WHERE content IS NOT NULL;
CREATE INDEX run_outputs_key ON run_outputs (product, fields_key);
CREATE INDEX run_outputs_path ON run_outputs (station, path);

CREATE TABLE contributions (
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  content INTEGER NOT NULL REFERENCES contents (id),
  step INTEGER NOT NULL REFERENCES steps (id),
  key TEXT NOT NULL,
  step_version INTEGER NOT NULL,
  identity BLOB NOT NULL CHECK (length(identity) = 32),
  run INTEGER REFERENCES runs (id),
  inputs TEXT NOT NULL,
  PRIMARY KEY (product, fields_key, content, step, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX contributions_by ON contributions (step, key);

CREATE TABLE listings (
  station INTEGER NOT NULL REFERENCES stations (id),
  folder TEXT NOT NULL,                                     -- '': the whole station
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  ok INTEGER NOT NULL CHECK (ok IN (0, 1)),
  error TEXT,
  entries INTEGER NOT NULL,
  ok_started INTEGER,                                       -- the newest that succeeded
  ok_ended INTEGER,
  PRIMARY KEY (station, folder)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
  step INTEGER NOT NULL REFERENCES steps (id),
  key TEXT NOT NULL,
  station INTEGER NOT NULL REFERENCES stations (id),
  cell_start INTEGER,
  cell_end INTEGER,
  fields TEXT NOT NULL,
  driving_product INTEGER REFERENCES products (id),
  driving_fields_key TEXT,
  there INTEGER NOT NULL CHECK (there BETWEEN 0 AND 5),
  next INTEGER NOT NULL CHECK (next BETWEEN 0 AND 7),
  reason TEXT,
  since INTEGER NOT NULL,
  wake_us INTEGER,
  opened INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  finished INTEGER NOT NULL CHECK (finished IN (0, 1)),
  PRIMARY KEY (step, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_wake ON keys (wake_us) WHERE wake_us IS NOT NULL;
CREATE INDEX keys_next ON keys (next, step) WHERE finished = 0;
CREATE INDEX keys_open ON keys (step) WHERE finished = 0;
CREATE INDEX keys_cell ON keys (step, cell_start);
CREATE INDEX keys_driving ON keys (driving_product, driving_fields_key) WHERE driving_product IS NOT NULL;

-- As file_tallies.
CREATE TABLE key_tallies (
  step INTEGER NOT NULL,
  finished INTEGER NOT NULL,
  there INTEGER NOT NULL,
  next INTEGER NOT NULL,
  keys INTEGER NOT NULL,
  PRIMARY KEY (step, finished, there, next)
) STRICT, WITHOUT ROWID;
CREATE TABLE rounds (
  step INTEGER NOT NULL REFERENCES steps (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  last_moment INTEGER,
  open_moment INTEGER,
  finished INTEGER,
  PRIMARY KEY (step, station)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT,
  station INTEGER REFERENCES stations (id),
  product INTEGER REFERENCES products (id),
  fields_key TEXT,
  path TEXT,
  run INTEGER REFERENCES runs (id),
  data TEXT
) STRICT;
CREATE INDEX events_kind ON events (kind, at);
CREATE INDEX events_path ON events (path, at) WHERE path IS NOT NULL;
CREATE INDEX events_at ON events (at);

CREATE TABLE holds (
  id INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
  step INTEGER REFERENCES steps (id),
  station INTEGER REFERENCES stations (id),
  product INTEGER REFERENCES products (id),
  path TEXT,
  where_text TEXT,
  why TEXT NOT NULL,
  by TEXT NOT NULL,
  since INTEGER NOT NULL,
  ended INTEGER
) STRICT;
CREATE INDEX holds_active ON holds (since) WHERE ended IS NULL;

CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY,
  file INTEGER REFERENCES files (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  path TEXT NOT NULL,
  moved_to TEXT,
  report_path TEXT,
  content INTEGER REFERENCES contents (id),
  class TEXT NOT NULL,
  message TEXT NOT NULL,
  run INTEGER REFERENCES runs (id),
  at INTEGER NOT NULL,
  released INTEGER
) STRICT;
CREATE INDEX quarantine_file ON quarantine (file);
CREATE INDEX quarantine_content ON quarantine (content) WHERE content IS NOT NULL;
CREATE INDEX quarantine_active ON quarantine (at) WHERE released IS NULL;

-- The audit of deletions: what was there, by which rule it went, on which receipts.
CREATE TABLE retirements (
  id INTEGER PRIMARY KEY,
  file INTEGER NOT NULL REFERENCES files (id),
  station INTEGER NOT NULL REFERENCES stations (id),
  product INTEGER NOT NULL REFERENCES products (id),
  fields_key TEXT NOT NULL,
  path TEXT NOT NULL,
  content INTEGER REFERENCES contents (id),
  size INTEGER NOT NULL,
  keep TEXT NOT NULL,
  at INTEGER NOT NULL,
  receipts TEXT NOT NULL
) STRICT;
CREATE INDEX retirements_file ON retirements (file);
CREATE INDEX retirements_at ON retirements (at);
CREATE INDEX retirements_key ON retirements (product, fields_key);

CREATE TABLE requests (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  product INTEGER REFERENCES products (id),
  from_us INTEGER,
  to_us INTEGER,
  mode TEXT NOT NULL,
  by TEXT NOT NULL,
  at INTEGER NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
  changed INTEGER NOT NULL,
  data TEXT
) STRICT;
CREATE INDEX requests_open ON requests (state, id);

CREATE TABLE flags (
  station INTEGER NOT NULL REFERENCES stations (id),
  path TEXT NOT NULL,
  step INTEGER NOT NULL REFERENCES steps (id),
  at INTEGER NOT NULL,
  PRIMARY KEY (step, station, path, at)
) STRICT, WITHOUT ROWID;

-- The name under which this ledger gives receipts.
INSERT INTO meta VALUES ('ledger', lower(
  hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'
  || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))));
