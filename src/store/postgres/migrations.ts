/**
 * The tables, made and changed by numbered steps. Each runs once for a schema, by the first to come, under a lock that ends
 * with its transaction; a step that was released never changes.
 *
 * The text of a line is JSON in a `text` column, not `jsonb`: it is given back byte for byte, and `jsonb` takes neither
 * `\u0000` nor what a later version may write.
 */

/** Any number that no other program is likely to lock. */
const MIGRATION_LOCK = 7_135_223_001;

export const MIGRATIONS: readonly ((schema: string) => string)[] = [
  (s) => `
    CREATE TABLE ${s}.threads (
      t bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      id text COLLATE "C" NOT NULL UNIQUE,
      header text NOT NULL,
      began text NOT NULL,
      base bigint REFERENCES ${s}.threads (t),
      start bigint NOT NULL,
      next bigint NOT NULL,
      epoch bigint NOT NULL,
      holder integer,
      owner text,
      claim text,
      state text NOT NULL,
      preview text,
      preview_at bigint,
      messages text NOT NULL,
      model text,
      name text,
      git text,
      created bigint NOT NULL,
      updated bigint NOT NULL,
      archived boolean NOT NULL DEFAULT false,
      deleted boolean NOT NULL DEFAULT false,
      kind text NOT NULL,
      subagent boolean NOT NULL,
      provider text,
      place text NOT NULL,
      parent text COLLATE "C",
      forked_from text COLLATE "C",
      name_words text NOT NULL DEFAULT '',
      text_words text NOT NULL DEFAULT '',
      name_index tsvector NOT NULL DEFAULT '',
      text_index tsvector NOT NULL DEFAULT '',
      word_index tsvector GENERATED ALWAYS AS (name_index || text_index) STORED
    );
    CREATE INDEX threads_created ON ${s}.threads (archived, subagent, created DESC, id DESC) WHERE NOT deleted;
    CREATE INDEX threads_updated ON ${s}.threads (archived, subagent, updated DESC, id DESC) WHERE NOT deleted;
    CREATE INDEX threads_place ON ${s}.threads (place, archived, created DESC, id DESC) WHERE NOT deleted;
    CREATE INDEX threads_parent ON ${s}.threads (parent, created DESC, id DESC) WHERE parent IS NOT NULL;
    CREATE INDEX threads_forked ON ${s}.threads (forked_from, created DESC, id DESC) WHERE forked_from IS NOT NULL;
    CREATE INDEX threads_base ON ${s}.threads (base, start DESC) WHERE base IS NOT NULL;
    CREATE INDEX threads_holder ON ${s}.threads (holder) WHERE holder IS NOT NULL;
    CREATE INDEX threads_words ON ${s}.threads USING gin (word_index) WHERE NOT deleted;
    CREATE TABLE ${s}.lines (
      t bigint NOT NULL REFERENCES ${s}.threads (t) ON DELETE CASCADE,
      ordinal bigint NOT NULL,
      line text NOT NULL,
      PRIMARY KEY (t, ordinal)
    );
    CREATE TABLE ${s}.marks (
      t bigint NOT NULL REFERENCES ${s}.threads (t) ON DELETE CASCADE,
      ordinal bigint NOT NULL,
      kind text NOT NULL,
      height integer,
      cut bigint,
      turn text,
      begun bigint,
      state text NOT NULL,
      PRIMARY KEY (t, ordinal)
    );
    CREATE INDEX marks_height ON ${s}.marks (t, kind, height, ordinal DESC) WHERE height IS NOT NULL;
    CREATE INDEX marks_turn ON ${s}.marks (t, turn, ordinal) WHERE kind = 'begin';
    CREATE INDEX marks_stop ON ${s}.marks (t, begun, ordinal) WHERE kind = 'stop';
    CREATE INDEX marks_compacted ON ${s}.marks (t, ordinal DESC) WHERE kind = 'compacted';`,
  (s) => `
    ALTER TABLE ${s}.threads ADD COLUMN interrupted boolean NOT NULL DEFAULT false, ADD COLUMN open_turn text;
    CREATE INDEX threads_interrupted ON ${s}.threads (archived, created DESC, id DESC) WHERE interrupted AND NOT deleted;
    WITH last AS (
      SELECT DISTINCT ON (m.t) m.t, m.ordinal, m.kind, m.turn FROM ${s}.marks AS m
      JOIN ${s}.threads AS h ON h.t = m.t
      WHERE m.kind IN ('begin', 'stop', 'rollback')
        OR (m.kind IN ('message', 'answer') AND h.header LIKE '%"history_mode":"legacy"%')
      ORDER BY m.t, m.ordinal DESC
    )
    UPDATE ${s}.threads AS h SET
      interrupted = last.kind <> 'stop' OR EXISTS (
        SELECT FROM ${s}.lines AS l WHERE l.t = last.t AND l.ordinal = last.ordinal AND l.line LIKE '%"turn_aborted"%'),
      open_turn = CASE last.kind WHEN 'begin' THEN last.turn WHEN 'message' THEN '' END
    FROM last WHERE last.t = h.t AND last.kind IN ('begin', 'stop', 'message');`,
  (s) => `
    CREATE TABLE ${s}.notes (
      id text COLLATE "C" NOT NULL,
      kind text NOT NULL,
      value text NOT NULL,
      PRIMARY KEY (id, kind)
    );`,
  // What is searched apart from what each batch changes, so that a batch writes no index of words; and a lease is taken and given
  // back without any index.
  (s) => `
    CREATE TABLE ${s}.words (
      t bigint PRIMARY KEY REFERENCES ${s}.threads (t) ON DELETE CASCADE,
      name_words text NOT NULL DEFAULT '',
      text_words text NOT NULL DEFAULT '',
      name_index tsvector NOT NULL DEFAULT '',
      text_index tsvector NOT NULL DEFAULT '',
      word_index tsvector GENERATED ALWAYS AS (name_index || text_index) STORED
    );
    INSERT INTO ${s}.words (t, name_words, text_words, name_index, text_index)
      SELECT t, name_words, text_words, name_index, text_index FROM ${s}.threads WHERE name_words <> '' OR text_words <> '';
    CREATE INDEX words_index ON ${s}.words USING gin (word_index);
    ALTER TABLE ${s}.threads DROP COLUMN word_index, DROP COLUMN name_words, DROP COLUMN text_words, DROP COLUMN name_index,
      DROP COLUMN text_index;
    DROP INDEX ${s}.threads_holder;
    ALTER TABLE ${s}.threads SET (fillfactor = 80);`,
  // A thread that comes to a process has it look who owes notices; of a cluster every thread has a note, and few have such a one.
  (s) => `CREATE INDEX notes_rare ON ${s}.notes (kind, id) WHERE kind <> 'cluster';`,
  (s) => `ALTER TABLE ${s}.notes ADD COLUMN fence bigint;`,
];

/** The steps that the schema lacks, in one statement, so that it needs no transaction of the caller's. */
export const migrate = (schema: string): string => `
  DO $migration$ BEGIN
    PERFORM pg_advisory_xact_lock(${MIGRATION_LOCK});
    -- IF NOT EXISTS asks for the right to make schemas also where this one is there.
    IF to_regnamespace('${schema}') IS NULL THEN CREATE SCHEMA ${schema}; END IF;
    CREATE TABLE IF NOT EXISTS ${schema}.migrations (step integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
    ${MIGRATIONS.map(
      (step, index) => `
      IF NOT EXISTS (SELECT FROM ${schema}.migrations WHERE step = ${index + 1}) THEN
        ${step(schema)}
        INSERT INTO ${schema}.migrations (step) VALUES (${index + 1});
      END IF;`,
    ).join("")}
  END $migration$`;
