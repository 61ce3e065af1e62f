/** The events of the selected thread by epoch and seq: what is in memory of them, then each as it comes. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { point, wantedEvent } from "../place.ts";
import { messageOf, request, selected } from "../state.ts";
import { clockTime, visible } from "../words.ts";
import { LinkTo } from "./link-to.tsx";
import { Text } from "./text.tsx";

type Event = {
  threadId: string;
  seq: number;
  epoch: number;
  time: number;
  id: string;
  msg: { type: string; [field: string]: unknown };
};
type Read = {
  epoch: number | null;
  read?: number;
  first: number;
  next: number;
  events: Event[];
  lagged: { from: number; to: number } | null;
};
/** Deltas that follow each other are one row. */
type Shown = { readonly event: Event; readonly folded: number; readonly gap: string };

const EVERY_MS = 500;
const KEPT = 400;
const BEFORE = 20;

export function Events() {
  const shown = useSignal<readonly Shown[]>([]);
  const kind = useSignal("");
  const isOpen = useSignal(true);
  const failure = useSignal("");
  const id = selected.value;
  useEffect(() => {
    shown.value = [];
    failure.value = "";
    if (id === undefined || !isOpen.value) return;
    let place: { epoch: number; seq: number } | undefined;
    let isWanted = true;
    let timer = 0;
    const look = async () => {
      const params: object = { threadId: id, limit: 300, ...(place !== undefined && { after: place }) };
      const told = await request<Read>("skein/thread/events/read", params).catch(messageOf);
      if (!isWanted) return;
      failure.value = typeof told === "string" ? told : "";
      const read = typeof told === "string" ? undefined : told;
      const pointed = wantedEvent.peek();
      const wanted = pointed?.threadId === id ? pointed.seq : undefined;
      const oldest = read?.events[0]?.seq ?? 0;
      if (read?.epoch != null && place === undefined && wanted !== undefined && wanted < oldest) {
        // It lies before the newest: what is shown begins a little before it.
        place = { epoch: read.epoch, seq: Math.max(read.first, wanted - BEFORE) - 1 };
        return void look();
      }
      if (read?.epoch != null) {
        const gap =
          read.lagged !== null
            ? `${read.lagged.from} to ${read.lagged.to} are gone`
            : place !== undefined && place.epoch !== read.epoch
              ? `life ${read.epoch} begins`
              : "";
        if (read.events.length > 0) shown.value = fold(shown.value, read.events, gap).slice(-KEPT);
        place = { epoch: read.epoch, seq: (read.read ?? read.next) - 1 };
      }
      if (!document.hidden && read !== undefined && (read.read ?? 0) < read.next) void look();
      else timer = setTimeout(() => void look(), document.hidden ? 4 * EVERY_MS : EVERY_MS);
    };
    void look();
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [id, isOpen.value, shown, failure]);
  useEffect(() => {
    const wanted = wantedEvent.value;
    const found = wanted && shown.value.findLast(({ event }) => event.seq <= wanted.seq);
    if (wanted === undefined || found === undefined || found.event.threadId !== wanted.threadId) return;
    if (found.event.seq + found.folded < wanted.seq) return;
    const element = document.getElementById(`event-${found.event.seq}`);
    if (element === null) return; // known, and not drawn yet
    element.setAttribute("open", "");
    point(element);
    wantedEvent.value = undefined;
  }, [shown.value, wantedEvent.value]);
  const fits = shown.value.filter(({ event }) => event.msg.type.includes(kind.value));
  return (
    <section class="events" aria-label="Events">
      <h2>
        Events <span class="badge">{shown.value.length}</span>
        <span class="spring" />
        <input
          type="search"
          aria-label="Events of a kind"
          placeholder="kind"
          value={kind.value}
          onInput={({ currentTarget }) => {
            kind.value = currentTarget.value;
          }}
        />
        <button
          type="button"
          class="chip"
          aria-pressed={isOpen.value}
          onClick={() => {
            isOpen.value = !isOpen.value;
          }}
        >
          live
        </button>
      </h2>
      <div class="lines" role="log" aria-live="off" aria-label="Events by number">
        {fits.toReversed().map(({ event, folded, gap }) => (
          <div key={`${event.epoch} ${event.seq}`}>
            <details class="line" id={`event-${event.seq}`}>
              <summary>
                <span class="seq">{event.seq}</span>
                <span class="kind">
                  {visible(event.msg.type)}
                  {folded > 0 && ` ×${folded + 1}`}
                </span>
                <span class="brief">{visible(briefOf(event))}</span>
                <time>{clockTime(event.time)}</time>
              </summary>
              {id !== undefined && (
                <LinkTo place={{ threadId: id, event: event.seq }}>link to event {event.seq}</LinkTo>
              )}
              <Text text={JSON.stringify(event, null, 1)} kind="mono output" />
            </details>
            {gap !== "" && <p class="rule">{gap}</p>}
          </div>
        ))}
        {failure.value !== "" && <p class="empty error">They can't be read: {visible(failure.value)}</p>}
        {fits.length === 0 && failure.value === "" && (
          <p class="empty">{id === undefined ? "" : kind.value === "" ? "None in memory." : "None of this kind."}</p>
        )}
      </div>
    </section>
  );
}

function fold(before: readonly Shown[], events: readonly Event[], gap: string): Shown[] {
  const all = [...before];
  for (const [index, event] of events.entries()) {
    const last = all.at(-1);
    const { type } = event.msg;
    const continues =
      type.endsWith("delta") && last?.event.msg.type.endsWith("delta") === true && last.event.epoch === event.epoch;
    if (continues) all[all.length - 1] = { event, folded: last.folded + 1, gap: last.gap };
    else all.push({ event, folded: 0, gap: index === 0 ? gap : "" });
  }
  return all;
}

function briefOf({ msg }: Event): string {
  const item = msg.item as { type?: string; status?: string } | undefined;
  if (item !== undefined) return [item.type, item.status].filter((each) => each !== undefined).join(" ");
  const text = msg.message ?? msg.delta ?? msg.command ?? msg.reason ?? msg.status ?? "";
  return String(text).replaceAll(/\s+/g, " ").slice(0, 80);
}
