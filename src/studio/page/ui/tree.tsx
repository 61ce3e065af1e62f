/** The forest: only the rows in sight are in the page, in one slab that moves; scrolling uses their elements again. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { RowStatus } from "../../../app-server/studio/wire.ts";
import { guidesOf, type Shown } from "../forest.ts";
import {
  counts,
  isLoaded,
  nameOf,
  onlyStatus,
  readTree,
  rows,
  select,
  selected,
  showsArchived,
  type ThreadRow,
  toggleFold,
  tokensOf,
  visibleRows,
  words,
} from "../state.ts";
import { count, visible } from "../words.ts";
import { FoldMark, ForkMark, STATUS_WORDS, StatusMark } from "./marks.tsx";

const ROW = 26;
const INDENT = 16;
const MORE = 6;
const DEEPEST = 14;
const FILTERS: readonly RowStatus[] = ["waiting", "active", "failed", "idle"];

export function Tree() {
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      height.value = element.clientHeight;
    });
    observer.observe(element);
    const stop = selected.subscribe((id) => id !== undefined && queueMicrotask(() => scrollTo(element, id)));
    return () => {
      observer.disconnect();
      stop();
    };
  }, [height]);
  const first = useComputed(() => Math.max(0, Math.floor(top.value / ROW) - MORE));
  const all = visibleRows.value;
  const many = Math.ceil(height.value / ROW) + 2 * MORE;
  const start = Math.min(first.value, Math.max(0, all.length - many));
  const shown = all.slice(start, start + many);
  const chosen = selected.value;
  // A row's element may stand for another thread by the time that the button is let go.
  const pressed = useRef<string | undefined>(undefined);
  return (
    <section class="tree" aria-label="Threads">
      <div class="find">
        <input
          id="find"
          type="search"
          placeholder="Find a thread, role or command   /"
          aria-label="Find a thread, role or command"
          value={words.value}
          onInput={({ currentTarget }) => {
            words.value = currentTarget.value;
          }}
        />
      </div>
      <div class="filters">
        {FILTERS.map((status) => (
          <button
            key={status}
            type="button"
            class="chip"
            aria-pressed={onlyStatus.value === status}
            onClick={() => {
              onlyStatus.value = onlyStatus.value === status ? undefined : status;
            }}
          >
            {status === "waiting" ? "waiting" : STATUS_WORDS[status]} {counts.value[status].toLocaleString("en")}
          </button>
        ))}
        <button
          type="button"
          class="chip"
          aria-pressed={showsArchived.value}
          onClick={() => {
            showsArchived.value = !showsArchived.value;
            void readTree();
          }}
        >
          archived
        </button>
      </div>
      <div
        ref={box}
        class="rows"
        role="tree"
        tabIndex={0}
        aria-label="Threads, as a tree"
        aria-activedescendant={shown.some(({ row }) => row.id === chosen) ? `row-${chosen}` : undefined}
        onScroll={({ currentTarget }) => {
          top.value = currentTarget.scrollTop;
        }}
      >
        <div class="whole" style={{ height: `${all.length * ROW}px` }} role="presentation">
          <div class="slab" style={{ transform: `translateY(${start * ROW}px)` }} role="presentation">
            {shown.map((each, slot) => (
              <Row key={slot} shown={each} isChosen={each.row.id === chosen} pressed={pressed} />
            ))}
          </div>
        </div>
        {all.length === 0 && isLoaded.value && (
          <p class="empty">{rows.size === 0 ? "No threads yet." : "Nothing is found."}</p>
        )}
      </div>
    </section>
  );
}

function scrollTo(element: HTMLElement, id: string): void {
  const at = visibleRows.peek().findIndex(({ row }) => row.id === id);
  if (at === -1) return;
  const y = at * ROW;
  if (y < element.scrollTop) element.scrollTop = y - ROW;
  else if (y + 2 * ROW > element.scrollTop + element.clientHeight)
    element.scrollTop = y + 2 * ROW - element.clientHeight;
}

type RowProps = {
  readonly shown: Shown<ThreadRow>;
  readonly isChosen: boolean;
  readonly pressed: { current: string | undefined };
};

function Row({ shown, isChosen, pressed }: RowProps) {
  const { row, depth, edge, under, isFolded, isPassing, place, siblings } = shown;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree takes the keys
    <div
      id={`row-${row.id}`}
      class={`row ${isPassing ? "passing" : ""}`}
      role="treeitem"
      tabIndex={-1}
      aria-level={depth + 1}
      aria-posinset={place}
      aria-setsize={siblings}
      aria-selected={isChosen}
      aria-expanded={under > 0 ? !isFolded : undefined}
      data-thread={row.id}
      onPointerDown={() => {
        pressed.current = row.id;
      }}
      onClick={() => {
        select(pressed.current ?? row.id);
        pressed.current = undefined;
      }}
      onDblClick={() => toggleFold(row.id)}
    >
      <span class="indent" style={{ width: `${Math.min(depth, DEEPEST) * INDENT}px` }}>
        {depth > 0 && <Guides shown={shown} />}
        {depth > DEEPEST ? depth : ""}
      </span>
      {under > 0 ? (
        // biome-ignore lint/a11y/useKeyWithClickEvents: the tree takes the keys
        // biome-ignore lint/a11y/noStaticElementInteractions: the tree item is what is told of to a screen reader
        <span
          class="folder"
          onClick={(event) => {
            event.stopPropagation();
            toggleFold(row.id);
          }}
        >
          <FoldMark isFolded={isFolded} />
        </span>
      ) : (
        <span class="folder" />
      )}
      <Changing row={row} isFork={edge === "fork"} hidden={isFolded ? under : 0} />
    </div>
  );
}

/** Which line of the row above leads here: an agent's is drawn through, a fork's is dashed. */
function Guides({ shown }: { readonly shown: Shown<ThreadRow> }) {
  const lines = { root: "", agent: "", fork: "" };
  for (const { level, edge, kind } of guidesOf(shown, DEEPEST)) {
    const x = level * INDENT + INDENT / 2;
    const down = kind === "last" ? ROW / 2 : ROW;
    lines[edge] += `M${x} 0V${down}${kind === "through" ? "" : `M${x} ${ROW / 2}h${INDENT / 2}`}`;
  }
  return (
    <svg class="guides" width={DEEPEST * INDENT} height={ROW} aria-hidden="true">
      {lines.agent !== "" && <path class="agent" d={lines.agent} />}
      {lines.fork !== "" && <path class="fork" d={lines.fork} />}
    </svg>
  );
}

function Changing({
  row,
  isFork,
  hidden,
}: {
  readonly row: ThreadRow;
  readonly isFork: boolean;
  readonly hidden: number;
}) {
  const { status, doing } = row.live.value;
  const tokens = tokensOf([row]);
  return (
    <>
      <StatusMark status={status} />
      {isFork && <ForkMark />}
      <span class="name">{visible(nameOf(row))}</span>
      {row.role !== null && <span class="role">{visible(row.role)}</span>}
      {hidden > 0 && <span class="hidden">+{hidden.toLocaleString("en")}</span>}
      <span class={`doing ${status}`}>{visible(doing)}</span>
      {tokens !== undefined && (
        <span
          class="tokens"
          title={`${count(tokens.fresh)} fresh + ${count(tokens.cached)} cached in, ${count(tokens.out)} out`}
        >
          {count(tokens.fresh + tokens.out)}
          {tokens.cached > 0 && <small>+{count(tokens.cached)}</small>}
        </span>
      )}
    </>
  );
}
