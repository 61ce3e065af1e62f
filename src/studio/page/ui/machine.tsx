/** The machine of the selected thread, as it was laid out when the page was built, with the states lit that it is in. */
import { type Signal, signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { StateValue } from "../../../app-server/studio/wire.ts";
import { machine } from "../conversation.ts";
import type { Picture } from "../picture.ts";
import { attempt } from "../state.ts";
import { useModal } from "./dialog.tsx";
import { inner } from "./panes.ts";
import { Standing } from "./standing.tsx";

const pictures = signal<Readonly<Record<string, Picture>> | undefined>(undefined);

async function load(): Promise<void> {
  await attempt("The machines' pictures", async () => {
    const answer = await fetch("machines.json");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    pictures.value = (await answer.json()) as Record<string, Picture>;
  });
}

const NAMES = ["turn", "thread", "supervision"] as const;

export function Machine() {
  const hovered = useSignal("");
  const isLarge = useSignal(false);
  const dialog = useModal(isLarge.value);
  const shrink = () => {
    isLarge.value = false;
    dialog.current?.close();
  };
  useEffect(() => {
    if (pictures.peek() === undefined) void load();
  }, []);
  const name = inner.value;
  const place = machine.value;
  const value = name === "turn" ? place?.turn : place?.thread;
  const lit = new Set(value == null ? [] : statesIn(value));
  const picture = pictures.value?.[name];
  const where = value == null ? (place?.epoch == null ? "not in memory" : "no turn runs") : [...lit].at(-1);
  const told =
    hovered.value ||
    `${where ?? ""}${place && place.retries > 0 ? ` · retry ${place.retries}` : ""}${
      place && place.approvals > 0 ? ` · ${place.approvals} asked` : ""
    }`;
  const drawing = picture !== undefined && (
    <Drawing picture={picture} lit={lit} label={`The ${name} machine; now in ${where ?? ""}`} hovered={hovered} />
  );
  return (
    <section class="machine" aria-label="Machine and supervision">
      <h2>
        {name === "supervision" ? "Supervision" : "Machine"}
        <span class="spring" />
        {NAMES.map((each) => (
          <button
            key={each}
            type="button"
            class="chip"
            aria-pressed={name === each}
            onClick={() => {
              inner.value = each;
            }}
          >
            {each}
          </button>
        ))}
      </h2>
      {name === "supervision" && <Standing />}
      {picture !== undefined && !isLarge.value && drawing}
      {picture !== undefined && (
        <dialog ref={dialog} class="large" aria-label={`The ${name} machine`} onClose={shrink}>
          {isLarge.value && drawing}
          <p class="where">{told}</p>
          <button type="button" onClick={shrink}>
            Close
          </button>
        </dialog>
      )}
      {name !== "supervision" && (
        <p class="where">
          <span>{told}</span>
          <button
            type="button"
            class="link"
            onClick={() => {
              isLarge.value = true;
            }}
          >
            enlarge
          </button>
        </p>
      )}
    </section>
  );
}

type Drawn = {
  readonly picture: Picture;
  readonly lit: ReadonlySet<string>;
  readonly label: string;
  /** Gets the words of the edge under the pointer. */
  readonly hovered: Signal<string>;
};

const Drawing = ({ picture, lit, label, hovered }: Drawn) => (
  <svg viewBox={`-4 -4 ${picture.width + 8} ${picture.height + 8}`} role="img" aria-label={label}>
    <defs>
      <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">
        <path d="M0 0 8 4 0 8z" />
      </marker>
    </defs>
    {picture.states.map(({ id, key, type, x, y, width, height, isBox }) => (
      <g key={id} class={`state ${type} ${lit.has(id) ? "lit" : ""}`} data-state={id}>
        <rect x={x} y={y} width={width} height={height} rx="5" />
        <text x={isBox ? x + 8 : x + width / 2} y={isBox ? y + 14 : y + height / 2 + 4} class={isBox ? "box" : ""}>
          {key}
        </text>
      </g>
    ))}
    {picture.edges.map(({ from, to, path, ways }) => (
      // biome-ignore lint/a11y/noStaticElementInteractions: the words of an edge are shown where the pointer is
      <g
        key={`${from} ${to}`}
        class={`edge ${lit.has(from) ? "lit" : ""}`}
        onMouseEnter={() => {
          hovered.value = `${from.split(".").at(-1)} → ${to.split(".").at(-1)}: ${ways.join(", ")}`;
        }}
        onMouseLeave={() => {
          hovered.value = "";
        }}
      >
        <path class="reach" d={path} />
        <path d={path} marker-end="url(#head)" />
      </g>
    ))}
  </svg>
);

/** The ids of all states that a value is in, outer ones first. */
function statesIn(value: StateValue, parent = ""): string[] {
  const below = (key: string) => (parent === "" ? key : `${parent}.${key}`);
  if (typeof value === "string") return [below(value)];
  return Object.entries(value).flatMap(([key, inner]) => [below(key), ...statesIn(inner, below(key))]);
}
