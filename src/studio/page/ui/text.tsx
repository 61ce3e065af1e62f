/** Whatever a model, a tool or a file says is text: shown whole when asked, never read as anything else. */
import { useSignal } from "@preact/signals";
import { bytes, visible } from "../words.ts";

const SHOWN = 20_000;

export function Text({ text, kind = "" }: { readonly text: string; readonly kind?: string }) {
  const isWhole = useSignal(false);
  const isLong = text.length > SHOWN + 2_000;
  const shown = isLong && !isWhole.value ? text.slice(0, SHOWN) : text;
  return (
    <div class={`text ${kind}`} dir="auto">
      {visible(shown)}
      {isLong && !isWhole.value && (
        <button
          type="button"
          class="quiet more"
          onClick={() => {
            isWhole.value = true;
          }}
        >
          show all {bytes(text.length)}
        </button>
      )}
    </div>
  );
}

/** A diff, line by line; long ones as one text. */
export function Diff({ diff }: { readonly diff: string }) {
  if (diff.length > SHOWN) return <Text text={diff} kind="mono" />;
  return (
    <div class="diff mono">
      {diff.split("\n").map((line, index) => {
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
