/** The middle: the selected thread, what it says, and what can be done to it. */
import { useSignal } from "@preact/signals";
import {
  archive,
  compact,
  fork,
  interrupt,
  interruptFamily,
  interrupting,
  remove,
  rename,
  rollBackTo,
  save,
  send,
} from "../acts.ts";
import { earlier, facts, isReading, readEarlier, readFailure, type Turn, turns } from "../conversation.ts";
import {
  access,
  familyOf,
  nameOf,
  note,
  questions,
  rows,
  select,
  selected,
  shape,
  type ThreadRow,
  tokensOf,
} from "../state.ts";
import { count, duration, money, shortId, visible } from "../words.ts";
import { Compare } from "./compare.tsx";
import { ask } from "./dialog.tsx";
import { Figures } from "./figures.tsx";
import { Files } from "./files.tsx";
import { Flame } from "./flame.tsx";
import { ItemView } from "./item.tsx";
import { LinkTo } from "./link-to.tsx";
import { ForkMark, StatusMark } from "./marks.tsx";
import { type Middle, middle } from "./panes.ts";
import { QuestionCard } from "./question.tsx";
import { Diff, Text } from "./text.tsx";
import { Timeline } from "./timeline.tsx";

const TABS: readonly (readonly [Middle, string])[] = [
  ["talk", "Conversation"],
  ["time", "Timeline"],
  ["figures", "Figures"],
  ["files", "Files"],
  ["compare", "Compare"],
];

export function Thread() {
  shape.value;
  const row = rows.get(selected.value ?? "");
  return (
    <section class="thread" aria-label="Selected thread">
      {row === undefined ? (
        <p class="empty">
          Choose a thread on the left; <kbd>?</kbd> shows the keys.
        </p>
      ) : (
        <Head row={row} />
      )}
      {(row !== undefined || middle.value === "time") && (
        <nav class="tabs" aria-label="Views">
          {TABS.filter(([tab]) => tab !== "compare" || row?.fork != null).map(([tab, title]) => (
            <button
              key={tab}
              type="button"
              aria-pressed={middle.value === tab}
              onClick={() => {
                middle.value = tab;
              }}
            >
              {title}
            </button>
          ))}
        </nav>
      )}
      {middle.value === "time" && <Timeline root={row?.id} />}
      {row !== undefined && middle.value === "talk" && <Talk row={row} />}
      {row !== undefined && middle.value === "figures" && <Figures id={row.id} />}
      {row !== undefined && middle.value === "files" && <Files root={row.id} />}
      {row?.fork != null && middle.value === "compare" && <Compare id={row.id} source={row.fork} />}
    </section>
  );
}

function Head({ row }: { readonly row: ThreadRow }) {
  const { status, doing, cost } = row.live.value;
  const mayAct = access.value === "act";
  const above = rows.get(row.parent ?? row.fork ?? "");
  return (
    <header class="head">
      <div class="title">
        <StatusMark status={status} />
        {row.fork !== null && <ForkMark />}
        <h1>{visible(nameOf(row))}</h1>
        {row.role !== null && <span class="role">{visible(row.role)}</span>}
        <button
          type="button"
          class="quiet mono"
          title="Copy the id"
          onClick={() => void navigator.clipboard.writeText(row.id).then(() => note("Copied."))}
        >
          {shortId(row.id)}
        </button>
        <span class="spring" />
        {mayAct && (
          <div class="acts">
            <button type="button" onClick={() => void fork(row.id, {})}>
              Fork here<kbd>f</kbd>
            </button>
            <button
              type="button"
              onClick={() => void interrupt(row.id)}
              disabled={(status !== "active" && status !== "waiting") || interrupting.value.has(row.id)}
            >
              {interrupting.value.has(row.id) ? "Interrupting…" : "Interrupt"}
              <kbd>i</kbd>
            </button>
            <More row={row} />
          </div>
        )}
      </div>
      <div class="facts">
        {above !== undefined && (
          <button type="button" class="link" onClick={() => select(above.id)}>
            {row.parent === null ? "fork of" : "agent of"} {visible(nameOf(above))}
          </button>
        )}
        {row.model !== null && <span>{visible(row.model)}</span>}
        <TokensOf threads={[row]} />
        {cost !== null && (
          <span title="its tokens, at the price of the model that it has now; Figures counts each turn by its own">
            costs {money(cost)}
          </span>
        )}
        <Together id={row.id} />
        {facts.value?.epoch != null && (
          <span title="the life of the thread, which its lease is numbered by, and its next event">
            epoch {facts.value.epoch} · event {facts.value.next}
          </span>
        )}
        {facts.value?.rolloutPath != null && (
          <span class="mono path" title={facts.value.rolloutPath}>
            {visible(facts.value.rolloutPath.split("/").at(-1) ?? "")}
          </span>
        )}
        <span class="doing">{visible(doing)}</span>
      </div>
    </header>
  );
}

/** Input that was read anew, input that was cached, output. */
function TokensOf({ threads }: { readonly threads: readonly ThreadRow[] }) {
  const tokens = tokensOf(threads);
  if (tokens === undefined) return null;
  return (
    <span class="used" title="tokens: input that was read anew, input that was cached, output">
      {count(tokens.fresh)} fresh + {count(tokens.cached)} cached in · {count(tokens.out)} out
    </span>
  );
}

/** With the agents under it: what they use together, and cost. */
function Together({ id }: { readonly id: string }) {
  const family = familyOf(id, { forks: false });
  if (family.length === 1) return null;
  const cost = costOf(family);
  return (
    <span class="together">
      with {family.length - 1} under it: <TokensOf threads={family} />
      {cost !== "" && ` · ${cost}`}
    </span>
  );
}

/** Of all under it, as far as prices are known. */
function costOf(family: readonly ThreadRow[]): string {
  const costs = family.map(({ live }) => live.value.cost);
  const known = costs.filter((cost) => cost !== null);
  if (known.length === 0) return "";
  const sum = money(known.reduce((all, cost) => all + cost, 0));
  return known.length === costs.length ? `${sum} together` : `${sum} together, of ${known.length} whose cost is known`;
}

function More({ row }: { readonly row: ThreadRow }) {
  const act = (event: Event, work: () => void) => {
    (event.currentTarget as HTMLElement).closest("details")?.removeAttribute("open");
    work();
  };
  return (
    <details class="menu">
      <summary class="button" aria-label="More">
        More
      </summary>
      <div class="list">
        <button type="button" onClick={(event) => act(event, () => void askInterruptFamily(row.id))}>
          Interrupt all under it<kbd>⇧I</kbd>
        </button>
        <button type="button" onClick={(event) => act(event, () => void compact(row.id))}>
          Compact
        </button>
        <button
          type="button"
          onClick={(event) =>
            act(event, () => {
              void ask({ title: "Rename the thread", field: row.label, confirm: "Rename" }).then(
                (name) => name !== undefined && name !== "" && rename(row.id, name),
              );
            })
          }
        >
          Rename
        </button>
        <button type="button" onClick={(event) => act(event, () => void save(row.id))}>
          Save as JSONL
        </button>
        <button type="button" onClick={(event) => act(event, () => void archive(row.id, row.archived))}>
          {row.archived ? "Unarchive" : "Archive"}
        </button>
        <button
          type="button"
          class="danger"
          onClick={(event) =>
            act(event, () => {
              const under = familyOf(row.id, { forks: false }).length - 1;
              const agents = under === 0 ? "" : ` and the ${under} agents under it`;
              void ask({
                title: `Delete ${nameOf(row)}${agents}?`,
                words: "What is stored of it goes. Its forks keep what they need.",
                confirm: "Delete",
              }).then((yes) => yes !== undefined && remove(row.id));
            })
          }
        >
          Delete
        </button>
      </div>
    </details>
  );
}

export async function askInterruptFamily(root: string): Promise<void> {
  const family = familyOf(root, { forks: false });
  const busy = family.filter(({ live }) => ["active", "waiting"].includes(live.peek().status)).length;
  const yes = await ask({
    title: `Interrupt ${busy} of ${family.length} threads?`,
    words:
      "Every turn that runs in this thread or in an agent under it ends, also of agents that are started meanwhile.",
    confirm: "Interrupt",
  });
  if (yes !== undefined) await interruptFamily(root);
}

function Talk({ row }: { readonly row: ThreadRow }) {
  const asked = questions.value.filter(({ threadId }) => threadId === row.id);
  return (
    <>
      <div class="talk" role="log" aria-live="off" aria-label="Conversation">
        <div class="talk-inner">
          {earlier.value !== null && (
            <button type="button" class="quiet" onClick={() => void readEarlier()}>
              Show earlier turns
            </button>
          )}
          {turns.value.map((turn) => (
            <TurnView key={turn.id} turn={turn} threadId={row.id} />
          ))}
          {turns.value.length === 0 && (
            <p class="empty">{isReading.value ? "Reading…" : readFailure.value || "Nothing has been said yet."}</p>
          )}
          {asked.map((question) => (
            <QuestionCard key={question.callId} question={question} keys />
          ))}
        </div>
      </div>
      {access.value === "act" && <Composer row={row} />}
    </>
  );
}

function TurnView({ turn, threadId }: { readonly turn: Turn; readonly threadId: string }) {
  const { status, startedAt, durationMs, error, diff } = turn.head.value;
  const showsFlame = useSignal(false);
  const isOver = status !== "inProgress";
  const mayAct = access.value === "act";
  return (
    <article id={`turn-${turn.id}`} class={`turn ${status}`}>
      <header>
        <LinkTo place={{ threadId, turnId: turn.id }}>turn {turn.id.slice(-6)}</LinkTo>
        <span class={`state ${status}`}>{status}</span>
        {durationMs !== null && <span>{duration(durationMs)}</span>}
        {startedAt !== null && <time>{new Date(startedAt).toLocaleTimeString("en-GB")}</time>}
        <span class="spring" />
        <button
          type="button"
          class="quiet"
          aria-pressed={showsFlame.value}
          onClick={() => {
            showsFlame.value = !showsFlame.value;
          }}
        >
          times
        </button>
        {mayAct && isOver && (
          <>
            <button type="button" class="quiet" onClick={() => void fork(threadId, { beforeTurnId: turn.id })}>
              fork before
            </button>
            <button type="button" class="quiet" onClick={() => void fork(threadId, { lastTurnId: turn.id })}>
              fork after
            </button>
            <button
              type="button"
              class="quiet"
              onClick={() =>
                void ask({
                  title: "Roll back to before this turn?",
                  words: "The model does not know this turn and those after it any more; their lines stay stored.",
                  confirm: "Roll back",
                }).then((yes) => yes !== undefined && rollBackTo(threadId, turn.id))
              }
            >
              roll back
            </button>
          </>
        )}
      </header>
      {showsFlame.value && <Flame threadId={threadId} turn={turn} />}
      {turn.items.value.map((shown) => (
        <ItemView
          key={shown.item.peek().id}
          shown={shown}
          place={{ threadId, turnId: turn.id, itemId: shown.item.peek().id }}
        />
      ))}
      {error !== null && <Text text={error} kind="error" />}
      {diff !== "" && (
        <details class="tool">
          <summary>all changes of this turn</summary>
          <Diff diff={diff} />
        </details>
      )}
    </article>
  );
}

function Composer({ row }: { readonly row: ThreadRow }) {
  const text = useSignal("");
  const isRunning = ["active", "waiting"].includes(row.live.value.status);
  const submit = async () => {
    const said = text.value.trim();
    if (said === "") return;
    text.value = "";
    if (!(await send(row.id, said))) text.value = said;
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <textarea
        id="say"
        rows={2}
        aria-label={isRunning ? "Steer the running turn" : "Send a message"}
        placeholder={
          isRunning ? "Steer the running turn…" : "Send a message…   (Enter sends, Shift+Enter breaks the line)"
        }
        value={text.value}
        onInput={({ currentTarget }) => {
          text.value = currentTarget.value;
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          void submit();
        }}
      />
      <button type="submit" class="main">
        {isRunning ? "Steer" : "Send"}
      </button>
    </form>
  );
}
