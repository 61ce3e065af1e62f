/** One question to the user, in a dialog of the browser's own. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { showsKeys } from "./panes.ts";

type Asked = {
  readonly title: string;
  readonly words?: string;
  readonly confirm: string;
  /** The text to begin with, where one is asked for. */
  readonly field?: string;
};

const asked = signal<(Asked & { readonly answer: (text: string | undefined) => void }) | undefined>(undefined);

/** The text, "" where none was asked for; undefined: no. */
export const ask = (question: Asked): Promise<string | undefined> =>
  new Promise((resolve) => {
    asked.value?.answer(undefined);
    asked.value = {
      ...question,
      answer: (text) => {
        asked.value = undefined;
        resolve(text);
      },
    };
  });

/** Opens it over the page as soon as it is there. */
export function useModal(isOpen: boolean) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen && dialog.current?.open === false) dialog.current.showModal();
  }, [isOpen]);
  return dialog;
}

export function Dialog() {
  const question = asked.value;
  const dialog = useModal(question !== undefined);
  if (question === undefined) return null;
  const { title, words, confirm, field, answer } = question;
  return (
    <dialog ref={dialog} aria-labelledby="asked" onClose={() => answer(undefined)}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          const input = event.currentTarget.querySelector("input");
          answer(input?.value.trim() ?? "");
        }}
      >
        <h2 id="asked">{title}</h2>
        {words !== undefined && <p>{words}</p>}
        {field !== undefined && <input aria-label={title} defaultValue={field} />}
        <div class="answers">
          <button type="submit" class="main">
            {confirm}
          </button>
          <button type="button" onClick={() => answer(undefined)}>
            Cancel
          </button>
        </div>
      </form>
    </dialog>
  );
}

const KEYS: readonly (readonly [string, string])[] = [
  ["j k ↓ ↑", "next and previous row, as shown"],
  ["← →", "fold, or to the one above; unfold"],
  ["/  Esc", "find; back to the tree"],
  ["w", "next that waits for you"],
  ["e", "next that failed"],
  ["y n", "allow once, decline: the selected thread's question in sight"],
  ["f", "fork here"],
  ["i  Shift+I", "interrupt; with all under it"],
  ["m", "write a message"],
  ["g c  g t  g u  g f", "conversation, timeline, figures, files"],
  ["g m  g s", "machine, supervision"],
  ["p", "pause the view"],
  ["[  ]", "on a narrow screen: tree, and what waits"],
];

export function Keys() {
  const dialog = useModal(showsKeys.value);
  if (!showsKeys.value) return null;
  const close = () => {
    showsKeys.value = false;
  };
  return (
    <dialog ref={dialog} aria-labelledby="keys" onClose={close}>
      <h2 id="keys">Keys</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={close}>
        Close
      </button>
    </dialog>
  );
}
