/** Whatever a model, a tool or a file says is text: shown whole when asked, never read as anything else. */
import { useSignal } from "@preact/signals";
import { bytes, visible } from "../words.ts";

/** A browser lays out so much of one line at once without a pause. */
const CHUNK = 20_000;
const MORE = 10;

type Shown = {
  readonly text: string;
  readonly kind?: string;
  /** However long it is: nothing of it is left for a click. */
  readonly isWhole?: boolean;
};

export function Text({ text, kind = "", isWhole = false }: Shown) {
  const chunks = useSignal(1);
  const isLong = text.length > CHUNK + 2_000;
  const end = isLong && !isWhole ? chunks.value * CHUNK : text.length;
  const starts = Array.from({ length: Math.ceil(Math.min(end, text.length) / CHUNK) }, (_, at) => at * CHUNK);
  return (
    <div class={`text ${kind}`} dir="auto">
      {isLong ? starts.map((at) => <Chunk key={at} text={text.slice(at, at + CHUNK)} />) : visible(text)}
      {end < text.length && (
        <button
          type="button"
          class="quiet more"
          onClick={() => {
            chunks.value += MORE;
          }}
        >
          show more of {bytes(text.length)}
        </button>
      )}
    </div>
  );
}

const Chunk = ({ text }: { readonly text: string }) => <div class="chunk">{visible(text)}</div>;

/** A diff, line by line; long ones as one text. */
export function Diff({ diff, isWhole = false }: { readonly diff: string; readonly isWhole?: boolean }) {
  if (diff.length > CHUNK) return <Text text={diff} kind="mono diff" isWhole={isWhole} />;
  return (
    <div class="diff mono">
      {diff
        .replace(/\n[+ -]?$/, "")
        .split("\n")
        .map((line, index) => {
          const kind = line.startsWith("+")
            ? "added"
            : line.startsWith("-")
              ? "taken"
              : line.startsWith("@@")
                ? "at"
                : "";
          return (
            <div key={index} class={kind}>
              {visible(line) || " "}
            </div>
          );
        })}
    </div>
  );
}
