/** The address says what is selected, so that it can be kept and shared; it never holds a token. */
import { turns } from "./conversation.ts";
import { isLoaded, rows, select, selected, shape } from "./state.ts";
import { pane } from "./ui/panes.ts";

const FORM = /^#\/thread\/([\w-]+)(?:\/turn\/([\w-]+))?$/;

function readPlace(): void {
  const [, threadId, turnId] = FORM.exec(location.hash) ?? [];
  if (threadId === undefined || threadId === selected.peek()) return;
  if (!rows.has(threadId)) return;
  select(threadId);
  pane.value = "thread";
  if (turnId !== undefined) goToTurn(turnId);
}

function goToTurn(turnId: string): void {
  const stop = turns.subscribe((all) => {
    if (!all.some(({ id }) => id === turnId)) return;
    requestAnimationFrame(() => document.getElementById(`turn-${turnId}`)?.scrollIntoView());
    queueMicrotask(() => stop());
  });
}

/** Begins with the page. */
export function followPlace(): void {
  addEventListener("hashchange", readPlace);
  let isFirst = true;
  shape.subscribe(() => {
    if (isFirst && rows.size > 0) readPlace();
  });
  isLoaded.subscribe((loaded) => {
    if (!loaded) return;
    readPlace();
    isFirst = false;
  });
  selected.subscribe((id) => {
    if (id === undefined) return;
    const place = `#/thread/${id}`;
    sessionStorage.setItem("skein.place", place);
    if (!location.hash.startsWith(place)) history.replaceState(null, "", `${location.pathname}${place}`);
  });
}
