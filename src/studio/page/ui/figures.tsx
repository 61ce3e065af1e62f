/** The selected thread turn by turn: tokens, times and what they cost, by its own lines. */
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { TurnFigures } from "../../../app-server/studio/wire.ts";
import { turns } from "../conversation.ts";
import { request } from "../state.ts";
import { count, duration, money, visible } from "../words.ts";
import { LinkTo } from "./link-to.tsx";
import { Plot, type PlotProps, type Series } from "./plot.tsx";

const SHOWN = 200;
const read = signal<readonly TurnFigures[] | string | undefined>(undefined);
let readOf = "";
const all = computed(() => (typeof read.value === "object" ? read.value : []));

type Told = Series & { readonly of: (turn: TurnFigures) => number | null };

const plotOf = (title: string, series: readonly Told[], shown?: PlotProps["shown"]): PlotProps => ({
  title,
  series,
  along: "number",
  data: computed(() => [all.value.map((_, at) => at + 1), ...series.map(({ of }) => all.value.map(of))]),
  ...(shown !== undefined && { shown }),
});

const freshOf = ({ tokensIn, tokensCached }: TurnFigures): number => Math.max(0, tokensIn - tokensCached);

const PLOTS: readonly PlotProps[] = [
  plotOf("tokens by turn", [
    { label: "fresh", color: "--active", of: freshOf },
    { label: "cached", color: "--idle-plot", of: ({ tokensCached }) => tokensCached },
    { label: "out", color: "--waiting", of: ({ tokensOut }) => tokensOut },
  ]),
  plotOf(
    "time by turn",
    [
      { label: "whole", color: "--active", of: ({ durationMs }) => durationMs },
      { label: "first word", color: "--waiting", of: ({ firstWordMs }) => firstWordMs },
    ],
    duration,
  ),
];

export function Figures({ id }: { readonly id: string }) {
  // Read anew when a turn of it has ended.
  const ended = turns.value.filter(({ head }) => head.value.status !== "inProgress").length;
  useEffect(() => {
    let isWanted = true;
    if (readOf !== id) read.value = undefined;
    readOf = id;
    void request<{ turns: TurnFigures[] }>("skein/thread/figures/read", { threadId: id }).then(
      (told) => {
        if (isWanted) read.value = told.turns;
      },
      (error: Error) => {
        if (isWanted) read.value = error.message;
      },
    );
    return () => {
      isWanted = false;
    };
  }, [id, ended]);
  if (typeof read.value !== "object") return <p class="empty">{read.value ?? "Reading…"}</p>;
  if (all.value.length === 0) return <p class="empty">No turn is stored of it.</p>;
  return (
    <div class="figures">
      <div class="by-turn">
        {PLOTS.map((plot) => (
          <Plot key={plot.title} {...plot} />
        ))}
      </div>
      <Turns threadId={id} />
    </div>
  );
}

function Turns({ threadId }: { readonly threadId: string }) {
  const left = Math.max(0, all.value.length - SHOWN);
  const costs = all.value.map(({ cost }) => cost);
  const known = costs.filter((cost) => cost !== null);
  const sum = known.reduce((together, cost) => together + cost, 0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <section class="turns" aria-label="Turns" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {["turn", "status", "model", "time", "first word", "requests", "fresh", "cached", "out", "cost"].map(
              (name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {all.value
            .slice(-SHOWN)
            .map((turn, at) => ({ turn, at: left + at + 1 }))
            .toReversed()
            .map(({ turn, at }) => (
              <tr key={turn.turnId}>
                <th scope="row">
                  <LinkTo place={{ threadId, turnId: turn.turnId }}>{at}</LinkTo>
                </th>
                <td class={`state ${turn.status}`}>{turn.status}</td>
                <td>{visible(turn.model ?? "")}</td>
                <td>{turn.durationMs === null ? "" : duration(turn.durationMs)}</td>
                <td>{turn.firstWordMs === null ? "" : duration(turn.firstWordMs)}</td>
                <td>{turn.requests}</td>
                <td>{count(freshOf(turn))}</td>
                <td>{count(turn.tokensCached)}</td>
                <td>{count(turn.tokensOut)}</td>
                <td>{turn.cost === null ? "" : money(turn.cost)}</td>
              </tr>
            ))}
        </tbody>
      </table>
      <p class="dim">
        {left > 0 && `${left} earlier turns are in the plots alone. `}
        {known.length === 0
          ? "No price is known of these models: a manager has them by its option `prices`."
          : `${money(sum)} in all${known.length < costs.length ? `, of ${known.length} of ${costs.length} turns` : ""}, in the unit of the manager's prices.`}
      </p>
    </section>
  );
}
