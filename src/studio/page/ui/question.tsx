/** A question with its answers. What is approved is shown whole, and only what has stood still for a moment can be approved. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Decision, Question } from "../../../app-server/studio/wire.ts";
import { access, answer, nameOf, note, questions, rows, select } from "../state.ts";
import { exact, visible } from "../words.ts";
import { Diff, Text } from "./text.tsx";

/** A list that moves must not take an answer that was meant for another. */
const STILL_MS = 400;
/** More does not fit into a card. */
const LONG_LINES = 10;
const LONG_CHARS = 600;

export function QuestionCard({ question, keys = false }: { readonly question: Question; readonly keys?: boolean }) {
  const { threadId, callId, kind, command, diff, cwd, reason } = question;
  const card = useRef<HTMLDivElement>(null);
  const still = useStillness(card, `${threadId} ${callId}`);
  const row = rows.get(threadId);
  const decide = (decision: Decision) => {
    if (still()) void answer([{ threadId, callId, decision }]);
    else note("The question has just come or moved; look again, then click.");
  };
  const mayAct = access.value === "act";
  return (
    <div ref={card} class="question" data-call={callId}>
      <div class="asker">
        <button type="button" class="link" onClick={() => select(threadId)}>
          {visible(row === undefined ? threadId : nameOf(row))}
        </button>
        {row?.role != null && <span class="role">{visible(row.role)}</span>}
        <span class="dim">{kind === "patch" ? "wants to patch" : "wants to run"}</span>
      </div>
      <Asked text={command} />
      {diff !== "" && <Diff diff={diff} isWhole />}
      {cwd !== null && <Text text={`in ${exact(cwd)}`} kind="dim" />}
      {reason !== null && <Text text={reason} />}
      {mayAct && (
        <div class="answers">
          <button type="button" class="main" onClick={() => decide("accept")}>
            Allow once{keys && <kbd>y</kbd>}
          </button>
          <button type="button" onClick={() => decide("acceptForSession")}>
            For session
          </button>
          <button type="button" onClick={() => decide("decline")}>
            Decline{keys && <kbd>n</kbd>}
          </button>
        </div>
      )}
    </div>
  );
}

/** What is asked for, to its end; how long it is stands beside it, since line breaks can push the end out of sight. */
function Asked({ text }: { readonly text: string }) {
  const lines = text.split("\n").length;
  return (
    <>
      <Text text={exact(text)} kind="mono asked" isWhole />
      {(lines > LONG_LINES || text.length > LONG_CHARS) && (
        <p class="dim length">
          {lines === 1 ? "1 line" : `${lines.toLocaleString("en")} lines`}, {text.length.toLocaleString("en")}{" "}
          characters: scroll to its end
        </p>
      )}
    </>
  );
}

/** Whether the element has been where it is for long enough, showing the same. */
function useStillness(element: { readonly current: HTMLElement | null }, key: string): () => boolean {
  const since = useRef({ key: "", top: Number.NaN, at: 0 });
  useEffect(() => {
    const look = () => {
      const top = element.current?.getBoundingClientRect().top ?? Number.NaN;
      const last = since.current;
      if (last.key !== key || Math.abs(last.top - top) > 1 || Number.isNaN(last.top)) {
        since.current = { key, top, at: performance.now() };
      }
    };
    look();
    const timer = setInterval(look, 100);
    return () => clearInterval(timer);
  }, [element, key]);
  return () => {
    const { at, top, key: seen } = since.current;
    const now = element.current?.getBoundingClientRect().top ?? Number.NaN;
    return seen === key && Math.abs(now - top) <= 1 && performance.now() - at >= STILL_MS;
  };
}

/** How many wait, for who hears the page: told at most so often. */
const ANNOUNCE_MS = 5_000;

function useAnnounced(count: number): Signal<string> {
  const said = useSignal("");
  const at = useRef(Number.NEGATIVE_INFINITY);
  useEffect(() => {
    const say = () => {
      at.current = performance.now();
      said.value = count === 0 ? "" : count === 1 ? "1 question waits for you" : `${count} questions wait for you`;
    };
    const timer = setTimeout(say, Math.max(0, at.current + ANNOUNCE_MS - performance.now()));
    return () => clearTimeout(timer);
  }, [count, said]);
  return said;
}

export function Inbox() {
  const all = questions.value;
  const announced = useAnnounced(all.length);
  return (
    <section class="inbox" aria-label="Waiting for you">
      <h2>
        Waiting for you <span class="badge">{all.length}</span>
      </h2>
      <p class="unseen" role="status">
        {announced.value}
      </p>
      <div class="cards">
        {all.map((question) => (
          <QuestionCard key={`${question.threadId} ${question.callId}`} question={question} />
        ))}
        {all.length === 0 && <p class="empty">Nobody waits.</p>}
        {access.value === "act" && <ForTree questions={all} />}
      </div>
    </section>
  );
}

/** What has one answer: the same in the same words, of one tree. A patch is what it changes, not which files. */
const sameness = ({ rootId, kind, command, diff }: Question): string => JSON.stringify([rootId, kind, command, diff]);

/** One answer for the same question of one tree, with every one listed before. */
function ForTree({ questions: all }: { readonly questions: readonly Question[] }) {
  return (
    <>
      {[...Map.groupBy(all, sameness)]
        .filter(([, group]) => group.length > 1)
        .map(([key, group]) => (
          <Group key={key} group={group} />
        ))}
    </>
  );
}

function Group({ group }: { readonly group: readonly Question[] }) {
  const list = useRef<HTMLDetailsElement>(null);
  // One that joins has not been seen yet.
  const still = useStillness(list, group.map(({ threadId, callId }) => `${threadId} ${callId}`).join("\n"));
  const [first] = group;
  return (
    <details ref={list} class="group">
      <summary>{group.length} ask for the same under one root</summary>
      {group.map(({ threadId, callId, command, cwd }) => (
        <Text
          key={`${threadId} ${callId}`}
          text={`${exact(command)}${cwd === null ? "" : `   in ${exact(cwd)}`}`}
          kind="mono"
          isWhole
        />
      ))}
      {first !== undefined && first.diff !== "" && <Diff diff={first.diff} isWhole />}
      <button
        type="button"
        onClick={() => {
          if (still()) void answer(group.map(({ threadId, callId }) => ({ threadId, callId, decision: "accept" })));
          else note("A question has just come or moved; look again, then click.");
        }}
      >
        Allow these {group.length} once
      </button>
    </details>
  );
}
