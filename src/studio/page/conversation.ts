/** The selected thread, in full: what is stored of it, read a page at a time, and what it says now. */
import { type Signal, signal } from "@preact/signals";
import type { MachinePlace } from "../../app-server/studio/wire.ts";
import type { Told } from "./line.ts";
import { attempt, onOpened, onTold, request, selected } from "./state.ts";

export type Item = {
  readonly id: string;
  readonly type: string;
  readonly startedAtMs: number | null;
  readonly completedAtMs: number | null;
  readonly [field: string]: unknown;
};

/** An item whose text still grows: so that a word changes one text, and nothing around it. */
export type ShownItem = { readonly item: Signal<Item>; readonly growing: Signal<string> };

export type Turn = {
  readonly id: string;
  readonly head: Signal<TurnHead>;
  readonly items: Signal<readonly ShownItem[]>;
};

type TurnHead = {
  readonly status: string;
  readonly startedAt: number | null;
  readonly durationMs: number | null;
  readonly error: string | null;
  readonly diff: string;
};

export type Facts = {
  readonly epoch: number | null;
  readonly next: number;
  readonly rolloutPath: string | null;
};

type WireTurn = {
  id: string;
  items: Item[];
  status: string;
  error: { message: string } | null;
  startedAt: number | null;
  durationMs: number | null;
};

const TURNS_PAGE = 12;

export const turns = signal<readonly Turn[]>([]);
export const earlier = signal<string | null>(null);
export const isReading = signal(false);
export const facts = signal<Facts | undefined>(undefined);
export const machine = signal<MachinePlace | undefined>(undefined);
export const readFailure = signal("");

let watched: string | undefined;
/** What is told while the stored turns are read, by the reading that counts: the last one. */
let reading: Told[] | undefined;

async function show(id: string | undefined): Promise<void> {
  const before = watched;
  watched = id;
  turns.value = [];
  earlier.value = null;
  facts.value = undefined;
  machine.value = undefined;
  readFailure.value = "";
  if (before !== undefined && before !== id) {
    void request("skein/thread/unwatch", { threadId: before }).catch(() => undefined);
    void request("skein/thread/machine/unwatch", { threadId: before }).catch(() => undefined);
  }
  reading = undefined;
  if (id !== undefined) await read(id);
}

async function read(id: string): Promise<void> {
  isReading.value = true;
  const early: Told[] = [];
  reading = early;
  try {
    const seen = await request<Facts>("skein/thread/watch", { threadId: id });
    const place = await request<MachinePlace>("skein/thread/machine/watch", { threadId: id });
    const page = await turnsOf(id, null);
    if (reading !== early) return;
    facts.value = seen;
    machine.value = place;
    turns.value = page.data.map(shownTurn).reverse();
    earlier.value = page.nextCursor;
  } catch (error) {
    // An ephemeral thread has no history to read: it is shown from now on.
    if (reading === early) readFailure.value = (error as Error).message;
  } finally {
    if (reading === early) {
      isReading.value = false;
      reading = undefined;
      for (const told of early) take(told);
    }
  }
}

const turnsOf = (threadId: string, cursor: string | null) =>
  request<{ data: WireTurn[]; nextCursor: string | null }>("thread/turns/list", {
    threadId,
    limit: TURNS_PAGE,
    itemsView: "full",
    ...(cursor !== null && { cursor }),
  });

/** Reads the thread again, as after a rollback. */
export const rereadThread = (): Promise<void> => show(watched);

export async function readEarlier(): Promise<void> {
  const id = watched;
  const cursor = earlier.value;
  if (id === undefined || cursor === null) return;
  const page = await attempt("Earlier turns", () => turnsOf(id, cursor));
  // They may have been asked for twice, and the thread been read anew.
  if (page === undefined || watched !== id || earlier.value !== cursor) return;
  earlier.value = page.nextCursor;
  turns.value = [...page.data.map(shownTurn).reverse(), ...turns.value];
}

const shownTurn = (turn: WireTurn): Turn => ({
  id: turn.id,
  head: signal(headOf(turn, "")),
  items: signal(turn.items.map(shownItem)),
});

const headOf = ({ status, startedAt, durationMs, error }: WireTurn, diff: string): TurnHead => ({
  status,
  startedAt: startedAt === null ? null : startedAt * 1_000,
  durationMs,
  error: error?.message ?? null,
  diff,
});

const shownItem = (item: Item): ShownItem => ({ item: signal(item), growing: signal("") });

function turnOf(id: string): Turn {
  const known = turns.value.find((turn) => turn.id === id);
  if (known !== undefined) return known;
  const made = shownTurn({ id, items: [], status: "inProgress", error: null, startedAt: null, durationMs: null });
  turns.value = [...turns.value, made];
  return made;
}

function take(told: Told): void {
  const { method, params } = told;
  if (method === "skein/thread/machine/changed" && params.threadId === watched) {
    machine.value = params as unknown as MachinePlace;
    return;
  }
  if (params.threadId !== watched || watched === undefined) return;
  if (reading !== undefined) {
    reading.push(told);
    return;
  }
  const turnId = String(params.turnId ?? "");
  if (method === "turn/started" || method === "turn/completed") {
    const given = params.turn as WireTurn;
    const turn = turnOf(given.id);
    turn.head.value = headOf(given, turn.head.peek().diff);
  } else if (method === "item/started" || method === "item/completed") putItem(turnId, params.item as Item);
  else if (method === "turn/diff/updated") {
    const turn = turnOf(turnId);
    turn.head.value = { ...turn.head.peek(), diff: String(params.diff) };
  } else if (method === "error") {
    const turn = turnOf(turnId);
    const { message } = params.error as { message: string };
    turn.head.value = { ...turn.head.peek(), error: message };
  } else if (typeof params.delta === "string") grow(turnId, String(params.itemId), params.delta);
  else if (method === "thread/reverted") void rereadThread();
}

function putItem(turnId: string, item: Item): void {
  const turn = turnOf(turnId);
  const known = turn.items.peek().find((shown) => shown.item.peek().id === item.id);
  if (known === undefined) {
    turn.items.value = [...turn.items.peek(), shownItem(item)];
    return;
  }
  known.item.value = item;
  if (item.completedAtMs !== null) known.growing.value = "";
}

function grow(turnId: string, itemId: string, delta: string): void {
  const shown = turnOf(turnId)
    .items.peek()
    .find(({ item }) => item.peek().id === itemId);
  if (shown !== undefined && shown.item.peek().completedAtMs === null) shown.growing.value += delta;
}

/** Begins with the page. */
export function followSelection(): void {
  onTold(take);
  selected.subscribe((id) => {
    if (id !== watched) void show(id);
  });
  onOpened(() => {
    if (watched !== undefined) void show(watched);
  });
}
