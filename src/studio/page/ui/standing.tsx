/** How the selected thread stands with whoever supervises and holds it: restarts, lease, file, place in line. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { ThreadStanding } from "../../../app-server/studio/wire.ts";
import { messageOf, request, selected } from "../state.ts";
import { count, duration, money, visible } from "../words.ts";

const EVERY_MS = 1_000;

export function Standing() {
  const told = useSignal<ThreadStanding | string | undefined>(undefined);
  const id = selected.value;
  useEffect(() => {
    told.value = undefined;
    if (id === undefined) return;
    let isWanted = true;
    let timer = 0;
    const look = async () => {
      const read = await request<ThreadStanding>("skein/thread/standing/read", { threadId: id }).catch(messageOf);
      if (!isWanted) return;
      told.value = read;
      timer = setTimeout(() => void look(), document.hidden ? 5 * EVERY_MS : EVERY_MS);
    };
    void look();
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [id, told]);
  const { value } = told;
  return (
    <div class="standing">
      {typeof value === "string" && <p class="empty error">It can't be read: {visible(value)}</p>}
      {typeof value === "object" && <Facts of={value} />}
    </div>
  );
}

function Facts({ of }: { readonly of: ThreadStanding }) {
  const facts: readonly (readonly [string, string])[] = [
    ["restarts", restartsOf(of)],
    ["lease", leaseOf(of)],
    ["file", of.rolloutPath ?? "the store has no files"],
    ["position", of.lines === null ? "not in memory" : `line ${count(of.lines)}`],
    [
      "in line",
      of.placeInQueue === null
        ? `waits for no place · priority ${of.priority}`
        : `${of.placeInQueue} before it · priority ${of.priority}`,
    ],
    ["depth", String(of.depth)],
    ...(of.cost === null ? [] : [["budget", `${money(of.cost)} counted`] as const]),
  ];
  return (
    <dl>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd title={value}>{visible(value)}</dd>
        </div>
      ))}
      {of.restarts.error !== null && (
        <div class="failed">
          <dt>failed by</dt>
          <dd>{visible(of.restarts.error)}</dd>
        </div>
      )}
    </dl>
  );
}

function restartsOf({ restarts }: ThreadStanding): string {
  const { state, strategy, crashes, left, maxRestarts, periodMs, dueInMs, group } = restarts;
  const rule = group === null ? strategy : `${strategy}, by group ${group}`;
  const allowance = `${left} of ${maxRestarts} left in ${duration(periodMs)}`;
  const crashed = crashes === 0 ? "" : ` · crashed ${crashes} ×`;
  if (state === "gaveUp") return `given up · ${allowance}${crashed} · ${rule}`;
  return `${dueInMs === null ? "" : `back in ${duration(dueInMs)} · `}${allowance}${crashed} · ${rule}`;
}

function leaseOf({ holder, saysHolder, isHere, epoch, heldForMs }: ThreadStanding): string {
  const life = epoch === null ? "" : `epoch ${epoch}${heldForMs === null ? "" : ` for ${duration(heldForMs)}`}`;
  if (isHere) return [life, "held here", holder === null ? "" : `by pid ${holder.pid}`].filter(Boolean).join(" · ");
  if (!saysHolder) return "not in memory here";
  return holder === null ? "nobody holds it" : `held by pid ${holder.pid} on ${holder.host} since ${holder.since}`;
}
