/** Everything by the keyboard. What is typed into a field is no command. */
import { fork, interrupt } from "./acts.ts";
import {
  access,
  answer,
  onlyStatus,
  questions,
  rows,
  select,
  selected,
  toggleFold,
  togglePause,
  visibleRows,
  words,
} from "./state.ts";
import { inner, middle, pane, showsKeys } from "./ui/panes.ts";
import { askInterruptFamily } from "./ui/thread.tsx";

const STILL_MS = 400;
const CHORD_MS = 1_000;
let chordAt = Number.NEGATIVE_INFINITY;
let questionSince = { key: "", at: 0 };

/** Begins with the page. */
export function followKeys(): void {
  addEventListener("keydown", onKey);
  addEventListener("pointerdown", ({ target }) => {
    const menu = openMenu();
    if (menu !== null && !menu.contains(target as Node)) menu.open = false;
  });
  const note = () => {
    const asked = ownQuestion();
    const key = asked === undefined ? "" : `${asked.threadId} ${asked.callId}`;
    if (questionSince.key !== key) questionSince = { key, at: performance.now() };
  };
  questions.subscribe(note);
  selected.subscribe(note);
}

const openMenu = () => document.querySelector<HTMLDetailsElement>(".menu[open]");

const ownQuestion = () => questions.peek().find(({ threadId }) => threadId === selected.peek());

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null) return;
  const target = event.target as HTMLElement;
  if (event.key === "Escape") {
    const menu = openMenu();
    if (menu !== null) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
      return;
    }
    if (target.id === "find") words.value = "";
    document.querySelector<HTMLElement>(".rows")?.focus();
    return;
  }
  if (target.matches("input, textarea, select")) return;
  if (event.key === " " || event.key === "Enter") return;
  if (act(event)) event.preventDefault();
}

function act({ key, shiftKey }: KeyboardEvent): boolean {
  const isChord = performance.now() - chordAt < CHORD_MS;
  chordAt = key === "g" ? performance.now() : Number.NEGATIVE_INFINITY;
  if (isChord) return chord(key);
  const id = selected.peek();
  switch (key) {
    case "j":
    case "ArrowDown":
      return step(1);
    case "k":
    case "ArrowUp":
      return step(-1);
    case "ArrowLeft":
      return foldOrUp();
    case "ArrowRight":
      return unfold();
    case "/":
      pane.value = "tree";
      document.getElementById("find")?.focus();
      return true;
    case "w":
      return next("waiting");
    case "e":
      return next("failed");
    case "p":
      togglePause();
      return true;
    case "?":
      showsKeys.value = true;
      return true;
    case "m":
      middle.value = "talk";
      requestAnimationFrame(() => document.getElementById("say")?.focus());
      return true;
    case "[":
      pane.value = pane.value === "tree" ? "thread" : "tree";
      return true;
    case "]":
      pane.value = pane.value === "side" ? "thread" : "side";
      return true;
  }
  return id !== undefined && rows.has(id) && access.peek() === "act" && actOn(id, key, shiftKey);
}

function actOn(id: string, key: string, isShifted: boolean): boolean {
  if (key === "f") void fork(id, {});
  else if (key === "I" && isShifted) void askInterruptFamily(id);
  else if (key === "i") void interrupt(id);
  else if (key === "y") decide("accept");
  else if (key === "n") decide("decline");
  else return false;
  return true;
}

/** A question that has just come, or moved, takes no answer that was meant for another. */
function decide(decision: "accept" | "decline"): void {
  const asked = ownQuestion();
  const card = document.querySelector(`.talk [data-call="${CSS.escape(asked?.callId ?? "")}"]`);
  if (asked === undefined || card === null || performance.now() - questionSince.at < STILL_MS) return;
  if (!isInSight(card)) return;
  void answer([{ threadId: asked.threadId, callId: asked.callId, decision }]);
}

/** Not where its column is not shown, or it has been scrolled away: at least half of it, or of what holds it, is to be seen. */
function isInSight(card: Element): boolean {
  const { top, bottom, height } = card.getBoundingClientRect();
  const holder = card.closest(".talk")?.getBoundingClientRect();
  if (holder === undefined || height === 0) return false;
  const seen = Math.min(bottom, holder.bottom, innerHeight) - Math.max(top, holder.top, 0);
  return seen >= Math.min(height, holder.height) / 2;
}

function chord(key: string): boolean {
  if (key === "c") middle.value = "talk";
  else if (key === "t") middle.value = "time";
  else if (key === "u") middle.value = "figures";
  else if (key === "m") inner.value = "turn";
  else if (key === "s") inner.value = "supervision";
  else if (key === "f") middle.value = "files";
  else return false;
  return true;
}

/** By what is shown. */
function step(by: 1 | -1): boolean {
  const all = visibleRows.peek();
  const at = all.findIndex(({ row }) => row.id === selected.peek());
  const to = at === -1 ? (by === 1 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
  const shown = all[to];
  if (shown !== undefined) select(shown.row.id);
  return true;
}

function next(status: "waiting" | "failed"): boolean {
  const all = visibleRows.peek();
  const at = all.findIndex(({ row }) => row.id === selected.peek());
  const after = [...all.slice(at + 1), ...all.slice(0, at + 1)];
  const found = after.find(({ row }) => row.live.peek().status === status)?.row;
  // What is folded away is found too, what the filter leaves out is not.
  const isFiltered = words.peek().trim() !== "" || onlyStatus.peek() !== undefined;
  const hidden = isFiltered ? undefined : [...rows.values()].find(({ live }) => live.peek().status === status);
  const chosen = found ?? hidden;
  if (chosen !== undefined) select(chosen.id);
  return true;
}

function foldOrUp(): boolean {
  const shown = visibleRows.peek().find(({ row }) => row.id === selected.peek());
  if (shown === undefined) return false;
  const { row, under, isFolded } = shown;
  if (under > 0 && !isFolded) toggleFold(row.id);
  else {
    const above = [row.parent, row.fork].find((id) => id !== null && rows.has(id));
    if (above != null) select(above);
  }
  return true;
}

function unfold(): boolean {
  const shown = visibleRows.peek().find(({ row }) => row.id === selected.peek());
  if (shown === undefined) return false;
  if (shown.isFolded) toggleFold(shown.row.id);
  else step(1);
  return true;
}
