/** The events of the selected thread by epoch and seq: what is in memory of them, then each as it comes. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { request, selected } from "../state.ts";
import { clockTime, visible } from "../words.ts";
import { Text } from "./text.tsx";

type Event = { seq: number; epoch: number; time: number; id: string; msg: { type: string; [field: string]: unknown } };
type Read = {
  epoch: number | null;
  read?: number;
  next: number;
  events: Event[];
  lagged: { from: number; to: number } | null;
};
/** Deltas of one kind that follow each other are one row. */
type Shown = { readonly event: Event; readonly folded: number; readonly gap: string };

const EVERY_MS = 500;
const KEPT = 400;

export function Events() {
  const shown = useSignal<readonly Shown[]>([]);
  const kind = useSignal("");
  const isOpen = useSignal(true);
  const id = selected.value;
  useEffect(() => {
    shown.value = [];
    if (id === undefined || !isOpen.value) return;
    let place: { epoch: number; seq: number } | undefined;
    let isWanted = true;
    let timer = 0;
    const look = async () => {
      const params: object = { threadId: id, limit: 300, ...(place !== undefined && { after: place }) };
      const read = await request<Read>("skein/thread/events/read", params).catch(() => undefined);
      if (!isWanted) return;
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
  }, [id, isOpen.value, shown]);
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
            <details class="line">
              <summary>
                <span class="seq">{event.seq}</span>
                <span class="kind">
                  {visible(event.msg.type)}
                  {folded > 0 && ` ×${folded + 1}`}
                </span>
                <span class="brief">{visible(briefOf(event))}</span>
                <time>{clockTime(event.time)}</time>
              </summary>
              <Text text={JSON.stringify(event, null, 1)} kind="mono output" />
            </details>
            {gap !== "" && <p class="rule">{gap}</p>}
          </div>
        ))}
        {fits.length === 0 && <p class="empty">{id === undefined ? "" : "None in memory."}</p>}
      </div>
    </section>
  );
}

function fold(before: readonly Shown[], events: readonly Event[], gap: string): Shown[] {
  const all = [...before];
  for (const [index, event] of events.entries()) {
    const last = all.at(-1);
    const { type } = event.msg;
    const continues = type.endsWith("delta") && last?.event.msg.type === type && last.event.epoch === event.epoch;
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
