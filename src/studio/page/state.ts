/** What the page knows, and how it comes to know it. Each thread's changing part is a signal of its own. */
import { batch, computed, type Signal, signal } from "@preact/signals";
import type {
  Access,
  Decision,
  MetricsSample,
  Question,
  QuestionChanges,
  RowStatus,
  StudioInfo,
  TreeChanges,
  TreePage,
  TreePatch,
  TreeRow,
} from "../../app-server/studio/wire.ts";
import { rowsShown } from "./forest.ts";
import { Line, type Told } from "./line.ts";

type Live = {
  readonly status: RowStatus;
  readonly tokensIn: number | null;
  readonly tokensCached: number | null;
  readonly tokensOut: number | null;
  readonly pending: number;
  readonly lastAt: number;
  readonly doing: string;
  /** null: its model has no price that is known. */
  readonly cost: number | null;
};

export type ThreadRow = {
  readonly id: string;
  readonly parent: string | null;
  readonly fork: string | null;
  readonly label: string;
  readonly role: string | null;
  readonly model: string | null;
  readonly createdAt: number;
  readonly archived: boolean;
  readonly live: Signal<Live>;
};

export type Note = { readonly id: number; readonly text: string; readonly isError: boolean };

const TREE_PAGE = 2_000;
/** A shorter word is found in the ids of many. */
const LEAST_OF_ID = 6;
const KEPT_SAMPLES = 600;
const NOTE_MS = 6_000;
/** What is kept while the view is paused; beyond it nothing is, and all is read anew afterwards. */
const MOST_PAUSED = 20_000;

const info = signal<StudioInfo | undefined>(undefined);
export const access = computed<Access>(() => info.value?.access ?? "look");
export const rows = new Map<string, ThreadRow>();
/** Rises when rows come, go or are called otherwise. */
export const shape = signal(0);
const folded = signal<ReadonlySet<string>>(new Set());
export const words = signal("");
export const onlyStatus = signal<RowStatus | undefined>(undefined);
export const showsArchived = signal(false);
export const selected = signal<string | undefined>(undefined);
export const isLoaded = signal(false);
export const questions = signal<readonly Question[]>([]);
export const samples = signal<readonly MetricsSample[]>([]);
export const notes = signal<readonly Note[]>([]);
export const isPaused = signal(false);
export const changesSince = signal(0);
export const counts = signal<Readonly<Record<RowStatus, number>>>({
  active: 0,
  waiting: 0,
  failed: 0,
  idle: 0,
  notLoaded: 0,
});

/** What else hears what is told, by method; the conversation and the machine. */
const listeners = new Set<(told: Told) => void>();
export function onTold(listener: (told: Told) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
/** Called when the line is there, again and again. */
const openers = new Set<() => void>();
export function onOpened(opener: () => void): () => void {
  openers.add(opener);
  return () => openers.delete(opener);
}

export const line = new Line(opened, (told) => take(told));

export const request = <T>(method: string, params: object = {}): Promise<T> => line.request<T>(method, params);

let noted = 0;
export function note(text: string, isError = false): void {
  noted += 1;
  const id = noted;
  notes.value = [...notes.value.slice(-3), { id, text, isError }];
  setTimeout(() => {
    notes.value = notes.value.filter((each) => each.id !== id);
  }, NOTE_MS);
}

/** What a failed request says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Does something that the server may refuse, and says so. */
export async function attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    note(`${what}: ${messageOf(error)}`, true);
    return undefined;
  }
}

export const visibleRows = computed(() => {
  shape.value;
  const sought = words.value
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const status = onlyStatus.value;
  const isFolded = folded.value;
  const isFiltered = sought.length > 0 || status !== undefined;
  return rowsShown(rows, {
    isFolded: (id) => isFolded.has(id) && !isFiltered,
    fits: isFiltered
      ? (row) => {
          const live = status === undefined ? row.live.peek() : row.live.value;
          if (status !== undefined && live.status !== status) return false;
          const text = `${row.label} ${row.role ?? ""} ${row.model ?? ""} ${live.doing}`.toLowerCase();
          return sought.every((word) => text.includes(word) || (word.length >= LEAST_OF_ID && row.id.includes(word)));
        }
      : undefined,
  });
});

// What comes is taken together, once a frame; a hidden tab has no frames, so a timer stands in.

let waiting: Told[] = [];
let isArmed = false;

function take(told: Told): void {
  if (isPaused.peek()) {
    changesSince.value += 1;
    if (changesSince.peek() <= MOST_PAUSED) waiting.push(told);
    else waiting = [];
    return;
  }
  waiting.push(told);
  if (isArmed) return;
  isArmed = true;
  if (document.hidden) setTimeout(flush, 250);
  else requestAnimationFrame(flush);
}

document.addEventListener("visibilitychange", () => {
  // The frame that was asked for does not come now.
  if (document.hidden && isArmed) setTimeout(flush, 250);
});

function flush(): void {
  isArmed = false;
  const taken = waiting;
  waiting = [];
  batch(() => {
    for (const told of taken) apply(told);
  });
}

export function togglePause(): void {
  isPaused.value = !isPaused.value;
  const missed = changesSince.value;
  changesSince.value = 0;
  if (isPaused.value) return;
  flush();
  if (missed <= MOST_PAUSED) return;
  place = undefined;
  void attempt("Reading anew", opened);
}

function apply(told: Told): void {
  const { method, params } = told;
  if (method === "skein/tree/changed") applyChanges(params as unknown as TreeChanges);
  else if (method === "skein/approvals/changed") applyQuestions(params as unknown as QuestionChanges);
  else if (method === "skein/metrics") {
    samples.value = [...samples.value.slice(1 - KEPT_SAMPLES), params as unknown as MetricsSample];
  } else if (method === "thread/name/updated" || method === "thread/archived" || method === "thread/unarchived") {
    void reread(String(params.threadId));
  } else if (method === "thread/deleted") drop(String(params.threadId));
  for (const listener of listeners) listener(told);
}

function applyChanges({ rows: fresh, patches, removed, seq }: TreeChanges): void {
  if (place !== undefined) place = { ...place, seq };
  for (const row of fresh) putShown(row);
  for (const patch of patches) patchRow(patch);
  for (const id of removed) drop(id);
  if (fresh.length + removed.length > 0) shape.value += 1;
  recount();
}

function applyQuestions({ opened: asked, resolved }: QuestionChanges): void {
  const gone = new Set(resolved.map(({ threadId, callId }) => `${threadId} ${callId}`));
  const come = new Set(asked.map(({ threadId, callId }) => `${threadId} ${callId}`));
  const left = questions.value.filter(({ threadId, callId }) => {
    const key = `${threadId} ${callId}`;
    return !gone.has(key) && !come.has(key);
  });
  questions.value = [...left, ...asked.filter(({ threadId, callId }) => !gone.has(`${threadId} ${callId}`))];
}

/** Archived threads and the others are shown apart. */
function putShown(row: TreeRow): void {
  if (row[7] === showsArchived.peek()) put(row);
  else drop(row[0]);
}

function put(given: TreeRow): void {
  const [id, parent, fork, label, role, model, createdAt, archived, ...live] = given;
  const known = rows.get(id);
  const now = liveOf([id, ...live], known?.live.peek());
  const sign = known?.live ?? signal(now);
  seen.add(id);
  sign.value = now;
  rows.set(id, { id, parent, fork, label, role, model, createdAt, archived, live: sign });
}

function patchRow(patch: TreePatch): void {
  const row = rows.get(patch[0]);
  if (row !== undefined) row.live.value = liveOf(patch, row.live.peek());
}

/** Tokens that are not known any more stay as they were told. */
function liveOf([, status, tIn, cached, out, pending, lastAt, doing, cost]: TreePatch, before: Live | undefined): Live {
  return {
    status,
    tokensIn: tIn ?? before?.tokensIn ?? null,
    tokensCached: cached ?? before?.tokensCached ?? null,
    tokensOut: out ?? before?.tokensOut ?? null,
    pending,
    lastAt: lastAt || (before?.lastAt ?? 0),
    doing,
    cost: cost ?? before?.cost ?? null,
  };
}

function drop(id: string): void {
  if (!rows.delete(id)) return;
  if (selected.peek() === id) selected.value = undefined;
  shape.value += 1;
}

function recount(): void {
  const next = { active: 0, waiting: 0, failed: 0, idle: 0, notLoaded: 0 };
  for (const { live } of rows.values()) next[live.peek().status] += 1;
  counts.value = next;
}

async function reread(threadId: string): Promise<void> {
  const page = await attempt("Reading the tree", () => request<TreePage>("skein/tree/read", { root: threadId }));
  batch(() => {
    for (const row of page?.rows ?? []) putShown(row);
    shape.value += 1;
    recount();
  });
}

type Place = { readonly instanceId: string; readonly seq: number };
let place: Place | undefined;

async function opened(): Promise<void> {
  const before = info.peek()?.instanceId;
  const told = await request<StudioInfo>("skein/info/read");
  if (told.instanceId !== before) place = undefined;
  info.value = told;
  const watched = await request<{ resumed: boolean }>("skein/tree/watch", place === undefined ? {} : { since: place });
  if (!watched.resumed) await readTree();
  const asked = await request<QuestionChanges>("skein/approvals/watch");
  questions.value = asked.opened;
  samples.value = (await request<{ samples: MetricsSample[] }>("skein/metrics/watch")).samples;
  isLoaded.value = true;
  for (const opener of openers) opener();
}

/** The rows that were told since the tree began to be read. */
let seen = new Set<string>();

/** All rows anew; those that are no more go. Where the line ends in between, there is no place to go on from. */
export async function readTree(): Promise<void> {
  const mine = new Set<string>();
  seen = mine;
  place = undefined;
  let from: Place | undefined;
  let cursor: string | null = null;
  do {
    const params: object = { limit: TREE_PAGE, archived: showsArchived.peek(), ...(cursor !== null && { cursor }) };
    const page: TreePage = await request<TreePage>("skein/tree/read", params);
    // Somebody reads anew, and maybe other rows.
    if (seen !== mine) return;
    batch(() => {
      for (const row of page.rows) put(row);
      shape.value += 1;
    });
    cursor = page.nextCursor;
    from ??= { instanceId: page.instanceId, seq: page.seq };
  } while (cursor !== null);
  place = from;
  for (const id of rows.keys()) if (!mine.has(id)) drop(id);
  shape.value += 1;
  recount();
}

export async function beginActing(): Promise<void> {
  await attempt("To act", () => request("skein/acting/begin"));
  info.value = await request<StudioInfo>("skein/info/read");
}

type Answer = { readonly threadId: string; readonly callId: string; readonly decision: Decision };

export async function answer(answers: readonly Answer[]): Promise<void> {
  const told = await attempt("The answer", () =>
    request<{ answers: { outcome: string }[] }>("skein/approvals/answer", { answers }),
  );
  const late = told?.answers.filter(({ outcome }) => outcome === "tooLate").length ?? 0;
  if (late > 0) note(late === 1 ? "Somebody had answered already." : `${late} had been answered already.`);
}

export function select(id: string | undefined): void {
  selected.value = id;
  // What stands above it is unfolded, so that it is in sight.
  const open = new Set(folded.peek());
  const passed = new Set<string>();
  for (let row = rows.get(id ?? ""); row !== undefined && !passed.has(row.id); ) {
    passed.add(row.id);
    const above = [row.parent, row.fork].find((each) => each !== null && rows.has(each)) ?? "";
    open.delete(above);
    row = rows.get(above);
  }
  if (open.size !== folded.peek().size) folded.value = open;
}

export function toggleFold(id: string): void {
  const next = new Set(folded.peek());
  if (!next.delete(id)) next.add(id);
  folded.value = next;
}

/** All rows in the order of the tree, with how deep each stands. */
export const depths = computed<ReadonlyMap<string, number>>(() => {
  shape.value;
  const shown = rowsShown(rows, { isFolded: () => false, fits: undefined });
  return new Map(shown.map(({ row, depth }) => [row.id, depth]));
});

const agentsOf = computed(() => rowsBy(({ parent }) => parent));
const forksOf = computed(() => rowsBy(({ fork }) => fork));

function rowsBy(keyOf: (row: ThreadRow) => string | null): ReadonlyMap<string | null, readonly ThreadRow[]> {
  shape.value;
  return Map.groupBy(rows.values(), keyOf);
}

/** The thread and all under it that are known here, each after what it stands under: agents, and forks where asked for. */
export function familyOf(root: string, { forks }: { readonly forks: boolean }): ThreadRow[] {
  const family = new Set([root]);
  for (const id of family) {
    for (const row of agentsOf.value.get(id) ?? []) family.add(row.id);
    if (forks) for (const row of forksOf.value.get(id) ?? []) family.add(row.id);
  }
  return [...family].flatMap((id) => rows.get(id) ?? []);
}

export type Tokens = { readonly fresh: number; readonly cached: number; readonly out: number };

/** undefined: nothing is known of any of them. */
export function tokensOf(threads: readonly ThreadRow[]): Tokens | undefined {
  const known = threads.map(({ live }) => live.value).filter(({ tokensIn }) => tokensIn !== null);
  if (known.length === 0) return undefined;
  const sum = (of: (live: Live) => number | null) => known.reduce((all, live) => all + (of(live) ?? 0), 0);
  const cached = sum(({ tokensCached }) => tokensCached);
  return {
    fresh: Math.max(0, sum(({ tokensIn }) => tokensIn) - cached),
    cached,
    out: sum(({ tokensOut }) => tokensOut),
  };
}

export const nameOf = ({ label, id }: Pick<ThreadRow, "label" | "id">): string => label || `thread ${id.slice(-6)}`;
