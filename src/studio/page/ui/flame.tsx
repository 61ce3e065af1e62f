/** One turn on a clock: requests to the model, tools and waits. Width is time, and a request's shade its tokens. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Span } from "../../../app-server/studio/wire.ts";
import type { Turn } from "../conversation.ts";
import { mostTokens, shadeOf, tokensIn } from "../shade.ts";
import { messageOf, request } from "../state.ts";
import { count, duration, visible } from "../words.ts";

type Read = { readonly spans: readonly Span[]; readonly earlier: readonly Span[] | null; readonly now: number };

const EVERY_MS = 1_000;
/** The darkest that words can be read on. */
const UNDER_WORDS = 0.5;

export function Flame({ threadId, turn }: { readonly threadId: string; readonly turn: Turn }) {
  const read = useSignal<Read | string | undefined>(undefined);
  const { status, startedAt, durationMs } = turn.head.value;
  const isOver = status !== "inProgress";
  useEffect(() => {
    let isWanted = true;
    let timer = 0;
    const from = startedAt ?? 0;
    const to = isOver && startedAt !== null && durationMs !== null ? { to: startedAt + durationMs + 1_000 } : {};
    const look = async () => {
      const params = { root: threadId, from, ...to, earlier: true };
      const told = await request<Read>("skein/timeline/read", params).catch(messageOf);
      if (!isWanted) return;
      read.value = told;
      if (!isOver) timer = setTimeout(() => void look(), EVERY_MS);
    };
    void look();
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [threadId, startedAt, durationMs, isOver, read]);
  const told = read.value;
  if (told === undefined) return <p class="empty">Reading…</p>;
  if (typeof told === "string") return <p class="empty error">Its times can't be read: {visible(told)}</p>;
  const all = [...(told.earlier ?? []), ...told.spans].filter(([id]) => id === threadId);
  const whole = all.find(([, kind, , , , label]) => kind === "turn" && label === turn.id);
  if (whole === undefined)
    return <p class="empty">No times are known of this turn here: what a fork inherits, its source knows.</p>;
  return <Lanes whole={whole} spans={all} now={told.now} />;
}

type Clocked = { readonly whole: Span; readonly spans: readonly Span[]; readonly now: number };

function Lanes({ whole, spans, now }: Clocked) {
  const [, , start, ended] = whole;
  const end = Math.max(start + 1, ended ?? now);
  const parts = spans.filter(([, kind, from, to]) => kind !== "turn" && from >= start && (to ?? now) <= end);
  const most = mostTokens(parts);
  const place = (t: number) => ((t - start) / (end - start)) * 100;
  return (
    <div class="flame" role="img" aria-label={`What took how long, of ${duration(end - start)}`}>
      {parts.map((span, index) => {
        const [, kind, from, to, , label] = span;
        const until = to ?? now;
        return (
          <div class="lane" key={index}>
            <span
              class={`bar ${kind}`}
              style={{ left: `${place(from)}%`, width: `${Math.max(0.4, place(until) - place(from))}%` }}
            >
              {kind === "model" && <span class="shade" style={{ opacity: UNDER_WORDS * shadeOf(span, most) }} />}
            </span>
            <span class="what">
              {kind} {visible(label).slice(0, 60)} {duration(until - from)}
              {tokensIn(span) > 0 && ` · ${count(tokensIn(span))} tokens`}
            </span>
          </div>
        );
      })}
    </div>
  );
}
