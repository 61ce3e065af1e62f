/** A question with its answers. What is approved is shown whole, and only what has stood still for a moment can be approved. */
import { useEffect, useRef } from "preact/hooks";
import type { Decision, Question } from "../../../app-server/studio/wire.ts";
import { access, answer, nameOf, note, questions, rows, select } from "../state.ts";
import { visible } from "../words.ts";
import { Diff, Text } from "./text.tsx";

/** A list that moves must not take an answer that was meant for another. */
const STILL_MS = 400;

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
      <Text text={command} kind="mono asked" />
      {diff !== "" && <Diff diff={diff} />}
      {cwd !== null && <Text text={`in ${cwd}`} kind="dim" />}
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

export function Inbox() {
  const all = questions.value;
  return (
    <section class="inbox" aria-label="Waiting for you">
      <h2>
        Waiting for you <span class="badge">{all.length}</span>
      </h2>
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

/** One answer for the same command of one tree, with every command listed before. */
function ForTree({ questions: all }: { readonly questions: readonly Question[] }) {
  const groups = new Map<string, Question[]>();
  for (const question of all) {
    const key = `${question.rootId} ${question.command}`;
    groups.set(key, [...(groups.get(key) ?? []), question]);
  }
  return (
    <>
      {[...groups]
        .filter(([, group]) => group.length > 1)
        .map(([key, group]) => (
          <details key={key} class="group">
            <summary>{group.length} ask for the same under one root</summary>
            {group.map(({ threadId, callId, command, cwd }) => (
              <Text key={`${threadId} ${callId}`} text={`${command}   in ${cwd ?? ""}`} kind="mono" />
            ))}
            <button
              type="button"
              onClick={() =>
                void answer(group.map(({ threadId, callId }) => ({ threadId, callId, decision: "accept" })))
              }
            >
              Allow these {group.length} once
            </button>
          </details>
        ))}
    </>
  );
}
