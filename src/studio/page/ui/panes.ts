/** What is in sight: the middle's view, the right's, and on a narrow screen which column. */
import { signal } from "@preact/signals";

export type Middle = "talk" | "time" | "figures" | "files" | "compare";
export type Pane = "tree" | "thread" | "side" | "plots";

export const middle = signal<Middle>("talk");
/** What of the thread is drawn: a machine, or how it stands with its supervisor. */
export const inner = signal<"turn" | "thread" | "supervision">("turn");
export const pane = signal<Pane>("tree");
export const showsKeys = signal(false);
