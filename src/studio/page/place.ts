/** The address says what is selected and shown, so that it can be kept and shared; it never holds a token. */
import { signal } from "@preact/signals";
import { turns } from "./conversation.ts";
import { isLoaded, rows, select, selected, shape } from "./state.ts";
import { middle, pane } from "./ui/panes.ts";

/** A thread, or a place in it: a turn, an item of one, an event of its current life. */
export type Place = {
  readonly threadId: string;
  readonly turnId?: string;
  readonly itemId?: string;
  readonly event?: number;
};

const FORM = /^#\/thread\/([\w-]+)(?:\/turn\/([^/]+)(?:\/item\/([^/]+))?|\/event\/(\d+))?$/;

/** The event that the address points at, until it has been shown. */
export const wantedEvent = signal<{ readonly threadId: string; readonly seq: number } | undefined>(undefined);

export function addressOf({ threadId, turnId, itemId, event }: Place): string {
  const thread = `#/thread/${threadId}`;
  if (event !== undefined) return `${thread}/event/${event}`;
  if (turnId === undefined) return thread;
  const turn = `${thread}/turn/${encodeURIComponent(turnId)}`;
  return itemId === undefined ? turn : `${turn}/item/${encodeURIComponent(itemId)}`;
}

/** false: the thread is not known (yet). */
function readPlace(): boolean {
  const [, threadId, turnId, itemId, event] = FORM.exec(location.hash) ?? [];
  if (threadId === undefined || !rows.has(threadId)) return false;
  if (event !== undefined) wantedEvent.value = { threadId, seq: Number(event) };
  if (threadId !== selected.peek()) select(threadId);
  pane.value = event === undefined ? "thread" : "side";
  const turn = decoded(turnId);
  const item = decoded(itemId);
  if (turn !== undefined) {
    middle.value = "talk";
    showElement(item === undefined ? `turn-${turn}` : `item-${item}`, turn);
  }
  return true;
}

/** undefined: the address is no one of ours. */
function decoded(part: string | undefined): string | undefined {
  try {
    return part === undefined ? undefined : decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** As soon as the turn has been read. */
function showElement(id: string, turnId: string): void {
  const stop = turns.subscribe((all) => {
    if (!all.some((turn) => turn.id === turnId)) return;
    requestAnimationFrame(() => point(document.getElementById(id)));
    queueMicrotask(() => stop());
  });
}

/** Brings it into sight and marks it for a while. */
export function point(element: HTMLElement | null): void {
  if (element === null) return;
  element.scrollIntoView({ block: "center" });
  element.classList.add("pointed");
  setTimeout(() => element.classList.remove("pointed"), 3_000);
}

/** Begins with the page. */
export function followPlace(): void {
  addEventListener("hashchange", readPlace);
  let hasArrived = false;
  const arrive = () => {
    if (!hasArrived) hasArrived = readPlace();
  };
  shape.subscribe(arrive);
  isLoaded.subscribe((loaded) => {
    arrive();
    if (loaded) hasArrived = true;
  });
  selected.subscribe((id) => {
    if (id === undefined) {
      // What is gone is no place to come back to.
      if (!isLoaded.peek()) return;
      sessionStorage.removeItem("skein.place");
      history.replaceState(null, "", location.pathname);
      return;
    }
    const place = addressOf({ threadId: id });
    sessionStorage.setItem("skein.place", place);
    if (!location.hash.startsWith(place)) history.replaceState(null, "", `${location.pathname}${place}`);
  });
}
