/** A fork beside its source, from where they part: forks keep the ids of the turns that they share. */
import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Item } from "../conversation.ts";
import { nameOf, request, rows } from "../state.ts";
import { visible } from "../words.ts";
import { ItemView } from "./item.tsx";

type WireTurn = { id: string; status: string; items: Item[] };
type Sides = { readonly shared: number; readonly fork: readonly WireTurn[]; readonly source: readonly WireTurn[] };

export function Compare({ id, source }: { readonly id: string; readonly source: string }) {
  const sides = useSignal<Sides | string | undefined>(undefined);
  useEffect(() => {
    let isWanted = true;
    sides.value = undefined;
    void Promise.all([turnsOf(id), turnsOf(source)]).then(
      ([own, theirs]) => {
        if (!isWanted) return;
        const parting = own.findIndex((turn, at) => turn.id !== theirs[at]?.id);
        const shared = parting === -1 ? own.length : parting;
        sides.value = { shared, fork: own.slice(shared), source: theirs.slice(shared) };
      },
      (error: Error) => {
        if (isWanted) sides.value = error.message;
      },
    );
    return () => {
      isWanted = false;
    };
  }, [id, source, sides]);
  const read = sides.value;
  if (read === undefined || typeof read === "string") return <p class="empty">{read ?? "Reading…"}</p>;
  return (
    <div class="compare">
      <p class="rule">{read.shared === 1 ? "1 turn is shared" : `${read.shared} turns are shared`}</p>
      <Side title={`source: ${titleOf(source)}`} turns={read.source} />
      <Side title={`fork: ${titleOf(id)}`} turns={read.fork} />
    </div>
  );
}

const titleOf = (id: string): string => nameOf(rows.get(id) ?? { id, label: "" });

function Side({ title, turns }: { readonly title: string; readonly turns: readonly WireTurn[] }) {
  return (
    <section class="side-by" aria-label={title}>
      <h2>{visible(title)}</h2>
      {turns.map((turn) => (
        <article key={turn.id} class={`turn ${turn.status}`}>
          {turn.items.map((item) => (
            <ItemView key={item.id} shown={{ item: signal(item), growing: signal("") }} />
          ))}
        </article>
      ))}
      {turns.length === 0 && <p class="empty">Nothing after the shared turns.</p>}
    </section>
  );
}

async function turnsOf(threadId: string): Promise<WireTurn[]> {
  const turns: WireTurn[] = [];
  let cursor: string | null = null;
  do {
    const params: object = {
      threadId,
      limit: 100,
      itemsView: "full",
      sortDirection: "asc",
      ...(cursor !== null && { cursor }),
    };
    const page: { data: WireTurn[]; nextCursor: string | null } = await request("thread/turns/list", params);
    turns.push(...page.data);
    cursor = page.nextCursor;
  } while (cursor !== null && turns.length < 1_000);
  return turns;
}
