/**
 * The catalog's tables.
 *
 * - A thread's `n` rises with the time of its creation, so that a search yields the newest first by itself.
 * - `words` holds for each thread the words that a search looks at, with a blank before each. Where SQLite has FTS5,
 *   `postings` indexes them, and as `tag` what the filters look at: a search with filters is one intersection of
 *   posting lists. Node's SQLite has it from 22.16 on.
 * - Every list without a search is one range of one index; the thread's id at its end makes the order total.
 */

/** Another number, or none: the file is thrown away. The way of searching goes into it, since the tables differ. */
export const catalogVersion = (fullText: boolean): number => 3 * 8 + (fullText ? 1 : 0);

/** `n` is the creation in milliseconds, and a number among those of one millisecond in the low bits. */
export const CREATED_SHIFT = 20n;

const TABLES = `
CREATE TABLE threads (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  archived INTEGER NOT NULL,
  subagent INTEGER NOT NULL,
  kind TEXT NOT NULL,
  provider TEXT,
  cwd TEXT NOT NULL,
  place TEXT NOT NULL,
  parent TEXT,
  forked_from TEXT,
  base TEXT,
  file_size INTEGER NOT NULL,
  mtime REAL NOT NULL,
  path TEXT,
  cli_version TEXT NOT NULL,
  originator TEXT,
  mode TEXT NOT NULL,
  source TEXT NOT NULL,
  git TEXT,
  model TEXT,
  effort TEXT,
  name TEXT,
  preview TEXT NOT NULL,
  interrupted INTEGER NOT NULL,
  open_turn TEXT
) STRICT;
CREATE INDEX threads_created ON threads (archived, subagent, created, id);
CREATE INDEX threads_updated ON threads (archived, subagent, updated, id);
CREATE INDEX threads_kind_created ON threads (archived, kind, created, id);
CREATE INDEX threads_kind_updated ON threads (archived, kind, updated, id);
CREATE INDEX threads_provider_created ON threads (archived, provider, created, id);
CREATE INDEX threads_provider_updated ON threads (archived, provider, updated, id);
CREATE INDEX threads_place_created ON threads (archived, place, created, id);
CREATE INDEX threads_place_updated ON threads (archived, place, updated, id);
CREATE INDEX threads_parent_created ON threads (parent, created, id) WHERE parent IS NOT NULL;
CREATE INDEX threads_parent_updated ON threads (parent, updated, id) WHERE parent IS NOT NULL;
CREATE INDEX threads_forked_created ON threads (forked_from, created, id) WHERE forked_from IS NOT NULL;
CREATE INDEX threads_forked_updated ON threads (forked_from, updated, id) WHERE forked_from IS NOT NULL;
CREATE INDEX threads_interrupted_created ON threads (archived, created, id) WHERE interrupted = 1;
CREATE INDEX threads_interrupted_updated ON threads (archived, updated, id) WHERE interrupted = 1;
CREATE INDEX threads_path ON threads (path) WHERE path IS NOT NULL;
CREATE INDEX threads_newest ON threads (updated);
CREATE INDEX threads_base ON threads (base) WHERE base IS NOT NULL;

-- The first user messages as they are, for a thread whose name or preview changes.
CREATE TABLE texts (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE words (n INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT;

-- When a folder of the home, or a file of notes, had changed last when all that it says was taken in.
CREATE TABLE times (path TEXT PRIMARY KEY, changed REAL NOT NULL) STRICT, WITHOUT ROWID;

-- Removed threads that have forks, so that these are found through them.
CREATE TABLE gone (id TEXT PRIMARY KEY, forked_from TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX gone_forked ON gone (forked_from);

-- Anchors: see catalog-anchor-views.ts.
CREATE TABLE anchored (
  t INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  base INTEGER,
  base_end INTEGER NOT NULL,
  base_byte INTEGER NOT NULL,
  inherited INTEGER NOT NULL,
  settled INTEGER,
  through INTEGER NOT NULL,
  through_byte INTEGER NOT NULL
) STRICT;
CREATE INDEX anchored_base ON anchored (base) WHERE base IS NOT NULL;
CREATE TABLE messages (
  t INTEGER NOT NULL,
  n INTEGER NOT NULL,
  line INTEGER NOT NULL,
  cut INTEGER NOT NULL,
  cut_byte INTEGER NOT NULL,
  open_turn TEXT,
  settled INTEGER,
  PRIMARY KEY (t, n, line)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_line ON messages (t, line);
CREATE TABLE turns (
  t INTEGER NOT NULL,
  start INTEGER NOT NULL,
  start_byte INTEGER NOT NULL,
  id TEXT NOT NULL,
  stop INTEGER,
  stop_byte INTEGER,
  interrupts TEXT,
  gone INTEGER,
  PRIMARY KEY (t, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_id ON turns (t, id, start);
CREATE TABLE stops (
  t INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  stop_byte INTEGER NOT NULL,
  PRIMARY KEY (t, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollbacks (
  t INTEGER NOT NULL,
  line INTEGER NOT NULL,
  kept INTEGER NOT NULL,
  lowest_cut INTEGER NOT NULL,
  last_turn INTEGER,
  PRIMARY KEY (t, line)
) STRICT, WITHOUT ROWID;
`;

const POSTINGS = `
CREATE VIRTUAL TABLE postings USING fts5(
  word, tag, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0', prefix='2 3'
);`;

export const catalogSchema = (fullText: boolean): string => TABLES + (fullText ? POSTINGS : "");
