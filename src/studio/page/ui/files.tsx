/** Which files a thread and its agents have changed, as far as their patches tell. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { familyOf, messageOf, nameOf, request, rows, select, shape } from "../state.ts";
import { visible } from "../words.ts";
import { Diff } from "./text.tsx";

type Change = { readonly threadId: string; readonly path: string; readonly diff: string };
type Page = { data: { items: { type: string; status?: string; changes?: { path: string; diff: string }[] }[] }[] };

const MOST_THREADS = 60;

export function Files({ root }: { readonly root: string }) {
  const changes = useSignal<readonly Change[] | undefined>(undefined);
  const left = useSignal(0);
  const failures = useSignal<readonly string[]>([]);
  const readOf = useRef("");
  // Read anew when one of them begins, asks or ends: that is when patches come to be.
  shape.value;
  const stand = familyOf(root, { forks: false })
    .slice(0, MOST_THREADS)
    .map(({ live }) => live.value.status)
    .join();
  useEffect(() => {
    let isWanted = true;
    if (readOf.current !== root) changes.value = undefined;
    readOf.current = root;
    const family = familyOf(root, { forks: false });
    left.value = Math.max(0, family.length - MOST_THREADS);
    const ids = family.slice(0, MOST_THREADS).map(({ id }) => id);
    void Promise.all(ids.map((id) => changesOf(id).catch(messageOf))).then((found) => {
      if (!isWanted) return;
      failures.value = found.filter((each) => typeof each === "string");
      changes.value = found.flatMap((each) => (typeof each === "string" ? [] : each));
    });
    return () => {
      isWanted = false;
    };
  }, [root, stand]);
  if (changes.value === undefined) return <p class="empty">Reading…</p>;
  const byPath = Map.groupBy(changes.value, ({ path }) => path);
  return (
    <div class="talk">
      <div class="talk-inner">
        {byPath.size === 0 && failures.value.length === 0 && <p class="empty">No patch has changed a file here.</p>}
        {failures.value.length > 0 && (
          <p class="error">
            {failures.value.length === 1 ? "1 thread" : `${failures.value.length} threads`} can't be read:{" "}
            {visible(failures.value[0] ?? "")}
          </p>
        )}
        {left.value > 0 && <p class="dim">{left.value} more threads were not read.</p>}
        {[...byPath].map(([path, all]) => (
          <details key={path} class="tool">
            <summary>
              <span class="mono title">{visible(path)}</span>
              <span class="state">{all.length === 1 ? "1 patch" : `${all.length} patches`}</span>
            </summary>
            {all.map(({ threadId, diff }, index) => (
              <div key={index}>
                <button type="button" class="link" onClick={() => select(threadId)}>
                  {visible(nameOf(rows.get(threadId) ?? { id: threadId, label: "" }))}
                </button>
                <Diff diff={diff} />
              </div>
            ))}
          </details>
        ))}
      </div>
    </div>
  );
}

async function changesOf(threadId: string): Promise<Change[]> {
  const params = { threadId, limit: 100, itemsView: "full" };
  const page = await request<Page>("thread/turns/list", params);
  const items = page.data.toReversed().flatMap((turn) => turn.items);
  return items
    .filter(({ type, status }) => type === "fileChange" && status === "completed")
    .flatMap(({ changes = [] }) => changes.map(({ path, diff }) => ({ threadId, path, diff })));
}
