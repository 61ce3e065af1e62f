/** The page: what is where. */
import { startThread } from "../acts.ts";
import {
  access,
  beginActing,
  changesSince,
  counts,
  isPaused,
  line,
  notes,
  onlyStatus,
  questions,
  rows,
  samples,
  shape,
  togglePause,
} from "../state.ts";
import { Dialog, Keys } from "./dialog.tsx";
import { Events } from "./events.tsx";
import { Machine } from "./machine.tsx";
import { type Pane, pane, showsKeys } from "./panes.ts";
import { Plots } from "./plots.tsx";
import { Inbox } from "./question.tsx";
import { Thread } from "./thread.tsx";
import { Tree } from "./tree.tsx";

export function App() {
  if (line.state.value === "over") return <Over />;
  return (
    <main class={`studio at-${pane.value}`}>
      <Top />
      <Tree />
      <Thread />
      <aside class="side" aria-label="Questions, machine, supervision and events">
        <Inbox />
        <Machine />
        <Events />
      </aside>
      <Plots />
      <Panes />
      <div class="notes" role="status" aria-live="polite">
        {notes.value.map(({ id, text, isError }) => (
          <p key={id} class={isError ? "error" : ""}>
            {text}
          </p>
        ))}
      </div>
      <Dialog />
      <Keys />
    </main>
  );
}

function Over() {
  return (
    <main class="over">
      <h1>skein studio</h1>
      <p>This session is not known to the server: its address was opened before, or the server was started anew.</p>
      <p>
        Open the address that the server has printed. Each is good once; <kbd>Enter</kbd> in the terminal of{" "}
        <code>skein studio</code> prints another.
      </p>
    </main>
  );
}

const WORDS = {
  connecting: "connecting",
  open: "connected",
  away: "the server is away; trying again",
  over: "",
} as const;

function Top() {
  shape.value;
  const { active, waiting, failed } = counts.value;
  const last = samples.value.at(-1);
  const state = line.state.value;
  return (
    <header class="top">
      <span class="brand">
        <b>skein</b> studio
      </span>
      <span class="figure">
        <b>{rows.size.toLocaleString("en")}</b> threads
      </span>
      <span class="figure">
        <b>{active.toLocaleString("en")}</b> active
      </span>
      <button
        type="button"
        class={`figure ${waiting > 0 ? "waiting" : ""}`}
        onClick={() => {
          onlyStatus.value = onlyStatus.value === "waiting" ? undefined : "waiting";
        }}
      >
        <b>{waiting}</b> waiting for you
      </button>
      <span class={`figure ${failed > 0 ? "failed" : ""}`}>
        <b>{failed}</b> failed
      </span>
      <span class="figure wide">
        <b>{(last?.events ?? 0).toLocaleString("en")}</b> events/s
      </span>
      <span class="figure wide">
        <b>{Math.round((last?.eventLoop ?? 0) * 100)}%</b> event loop
      </span>
      <span class="spring" />
      {access.value === "act" && (
        <button type="button" onClick={() => void startThread()}>
          New thread
        </button>
      )}
      {access.value === "ask" && (
        <button type="button" class="main" onClick={() => void beginActing()}>
          Looking only — act?
        </button>
      )}
      {access.value === "look" && <span class="dim">read-only</span>}
      <button type="button" aria-pressed={isPaused.value} onClick={togglePause}>
        {isPaused.value ? `Paused · ${changesSince.value} since` : "Pause"}
        <kbd>p</kbd>
      </button>
      <button
        type="button"
        aria-label="Keys"
        onClick={() => {
          showsKeys.value = true;
        }}
      >
        ?
      </button>
      <span class={`line ${state}`} role="status">
        {state === "open" ? location.host : WORDS[state]}
      </span>
    </header>
  );
}

const PANES: readonly (readonly [Pane, string])[] = [
  ["tree", "Threads"],
  ["thread", "Thread"],
  ["side", "Waiting"],
  ["plots", "Plots"],
];

/** On a narrow screen one column is in sight. */
function Panes() {
  return (
    <nav class="panes" aria-label="Columns">
      {PANES.map(([name, title]) => (
        <button
          key={name}
          type="button"
          aria-pressed={pane.value === name}
          onClick={() => {
            pane.value = name;
          }}
        >
          {title}
          {name === "side" && questions.value.length > 0 && <span class="badge">{questions.value.length}</span>}
        </button>
      ))}
    </nav>
  );
}
