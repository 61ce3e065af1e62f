/**
 * What the AGENTS.md files say (SPEC 5.2).
 *
 * - The answer is that of the files at a moment after the question, or up to `maxAgeMs` before it for a caller who
 *   allows that.
 * - Files that have not changed are not read again, and questions that come together share one look at the disk.
 * - No answer is larger than `maxBytes`; what is cut off or cannot be read is warned of, and never fails.
 */
import { join } from "node:path";
import { LRUCache } from "lru-cache";
import { type Clock, elapsedBy, systemClock } from "../kernel/clock.ts";
import { readStart, stampOf } from "./bounded-read.ts";
import { foldersUpToRepository } from "./git.ts";
import { ioText } from "./io-failure.ts";
import { SingleFlight } from "./single-flight.ts";

/** Shared by the threads of a working directory, so not to be changed. */
export type ProjectDoc = {
  /** Undefined when no file says anything. */
  readonly text: string | undefined;
  /** The files that it comes from, in its order. */
  readonly files: readonly string[];
  readonly warnings: readonly string[];
};

/** For which folder instructions are asked, and how much of them. */
export type ProjectDocQuery = {
  /** The bound of all files together; 32 KiB when absent, and 0 for no document. */
  readonly maxBytes?: number | undefined;
  /** Further names that count where a folder has none of the usual ones; those of the options when absent. */
  readonly fallbackNames?: readonly string[] | undefined;
  /** How old the last look at the disk may be: 0 when absent. A look costs some 20 µs a folder and file. */
  readonly maxAgeMs?: number | undefined;
};

/** Reads a project's AGENTS.md files, and caches them for a short while. */
export interface ProjectDocs {
  /** The project's instructions for a working directory: from its repository's root down to it. Never rejects. */
  projectDoc(cwd: string, options?: ProjectDocQuery): Promise<ProjectDoc>;
  /** The user's own instructions, from the AGENTS.md of the home. Never rejects. */
  userDoc(home: string): Promise<ProjectDoc>;
}

export type ProjectDocsOptions = {
  /** Further names that count where a folder has none of the usual ones. */
  readonly fallbackNames?: readonly string[] | undefined;
  readonly clock?: Clock | undefined;
};

/** Does no IO before somebody asks. */
export const createProjectDocs = (options: ProjectDocsOptions = {}): ProjectDocs => new Docs(options);

/** Codex's `project_doc_max_bytes`. */
const DEFAULT_PROJECT_DOC_BYTES = 32 * 1024;
const NAMES = ["AGENTS.override.md", "AGENTS.md"];
const MAX_CACHED = 1_000;
const MAX_USER_BYTES = 1 << 20;
const NOTHING: ProjectDoc = { text: undefined, files: [], warnings: [] };
const SEPARATOR = "\n\n--- project-doc ---\n\n";

/** The user instructions of a session: the user's own, the project's, and the section on skills. */
export function composeUserInstructions(parts: {
  readonly user?: string | null | undefined;
  readonly project?: string | undefined;
  readonly skills?: string | undefined;
}): string | undefined {
  const docs = [parts.user, parts.project].filter(isSaid).join(SEPARATOR);
  return [docs, parts.skills].filter(isSaid).join("\n\n") || undefined;
}

const isSaid = (text: string | null | undefined): text is string => text !== undefined && text !== null && text !== "";

type Source = { readonly path: string; readonly stamp: string };
type Read = { readonly key: string; readonly doc: ProjectDoc; readonly lookedAtMs: number };

class Docs implements ProjectDocs {
  readonly #fallbackNames: readonly string[];
  readonly #clock: Clock;
  readonly #read = new LRUCache<string, Read>({ max: MAX_CACHED });
  readonly #looks = new SingleFlight<ProjectDoc>();

  constructor(options: ProjectDocsOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#fallbackNames = options.fallbackNames ?? [];
  }

  async projectDoc(cwd: string, options: ProjectDocQuery = {}): Promise<ProjectDoc> {
    const { maxBytes = DEFAULT_PROJECT_DOC_BYTES, maxAgeMs = 0, fallbackNames = this.#fallbackNames } = options;
    if (maxBytes <= 0) return NOTHING;
    const name = JSON.stringify([maxBytes, cwd, ...fallbackNames]);
    const known = this.#read.get(name);
    if (known !== undefined && elapsedBy(this.#clock) - known.lookedAtMs < maxAgeMs) return known.doc;
    return this.#shared(name, async (key) => {
      const folders = (await foldersUpToRepository(cwd)).reverse();
      return this.#docOf(key, await sourcesIn(folders, [...NAMES, ...fallbackNames]), (sources) =>
        readDoc(sources, maxBytes),
      );
    });
  }

  userDoc(home: string): Promise<ProjectDoc> {
    return this.#shared(`home:${home}`, async (key) => {
      return this.#docOf(key, await sourcesIn([home], NAMES), async (sources) => {
        const doc = await readDoc(sources, MAX_USER_BYTES);
        return { ...doc, text: doc.text?.trim() };
      });
    });
  }

  #shared(key: string, look: (key: string) => Promise<ProjectDoc>): Promise<ProjectDoc> {
    return this.#looks.ask(key, async () => {
      try {
        return await look(key);
      } catch (error) {
        return { ...NOTHING, warnings: [`Failed to look for AGENTS.md: ${ioText(error)}`] };
      }
    });
  }

  async #docOf(
    name: string,
    sources: readonly Source[],
    read: (sources: readonly Source[]) => Promise<ProjectDoc>,
  ): Promise<ProjectDoc> {
    const key = JSON.stringify(sources);
    const lookedAtMs = elapsedBy(this.#clock);
    const known = this.#read.get(name);
    const doc = known?.key === key ? known.doc : await read(sources);
    this.#read.set(name, { key, doc, lookedAtMs });
    return doc;
  }
}

/** In each folder, the first of the names that stands there. */
async function sourcesIn(folders: readonly string[], names: readonly string[]): Promise<Source[]> {
  const found = await Promise.all(folders.map((folder) => firstOf(names.map((name) => join(folder, name)))));
  return found.filter((source) => source !== undefined);
}

async function firstOf(paths: readonly string[]): Promise<Source | undefined> {
  const stamps = await Promise.all(paths.map(stampOf));
  const sources = paths.map((path, index) => ({ path, stamp: stamps[index] ?? undefined }));
  return sources.find((source): source is Source => source.stamp !== undefined);
}

async function readDoc(sources: readonly Source[], maxBytes: number): Promise<ProjectDoc> {
  const parts: string[] = [];
  const files: string[] = [];
  const warnings: string[] = [];
  let left = maxBytes;
  for (const { path } of sources) {
    if (left === 0) {
      warnings.push(`${path} is left out: the limit of ${maxBytes} bytes is used up`);
      continue;
    }
    try {
      const { bytes, truncated } = await readStart(path, left);
      // A character that the limit cuts in two is left out, not garbled.
      const text = new TextDecoder().decode(bytes, { stream: truncated });
      if (truncated) warnings.push(`${path} is cut off after ${left} bytes: the limit is ${maxBytes} bytes`);
      if (text.trim() === "") continue;
      parts.push(text);
      files.push(path);
      left -= bytes.length;
    } catch (error) {
      warnings.push(`Failed to read ${path}: ${ioText(error)}`);
    }
  }
  return { text: parts.length === 0 ? undefined : parts.join("\n\n"), files, warnings };
}
