/**
 * The steps of a turn at which a process may die, and what whoever loads the thread then does. Played by lives.ts, on any
 * store: a life gets to the step and is killed there, or another one takes its thread from it.
 */
import type { Step } from "../../src/model/script.ts";
import { call, hang, raw, say } from "../../src/model/script.ts";
import type { BuiltInToolName } from "../../src/protocol/built-in-tool-names.ts";
import type { EventMsg } from "../../src/protocol/event.ts";
import type { RolloutLine } from "../../src/protocol/rollout.ts";
import type { ThreadConfig } from "../../src/protocol/thread-config.ts";
import { UNKNOWN_EFFECT } from "../../src/turn/resumed-turn.ts";

/** Where a life stops by itself, so that it can be killed there: in the model, in a tool, or before the store has the end. */
export type DyingStep = {
  readonly name: string;
  /** What is submitted; the first one's turn is the one that is cut. */
  readonly ops?: readonly ("input" | "compact" | "joined" | "late")[];
  /** Turns that complete before. */
  readonly before?: number;
  /** The answers of the life that dies. */
  readonly plays: readonly (readonly Step[])[];
  readonly config?: ThreadConfig;
  readonly builtInTools?: readonly BuiltInToolName[];
  /** Other programs run, which takes its time. */
  readonly runsPrograms?: true;
  /** No turn gets a place, since another thread has the only one. */
  readonly waitsForPlace?: true;
  /** What the store does not get any more: the life stops there. */
  readonly stopsAt?: (line: EventMsg) => boolean;
  /** As `stopsAt`, once the line is written: the store does not confirm it. */
  readonly stopsBehind?: (line: EventMsg) => boolean;
  /** What is stored, when the life is to die. */
  readonly reached: (lines: readonly RolloutLine[], effects: readonly string[]) => boolean;
  /** What each request of the next life holds, after what the settings say. */
  readonly asked: readonly (readonly string[])[];
  /** The answers of the next life; `done` when left out. */
  readonly answers?: readonly (readonly Step[])[];
  /** What was done by tools, over both lives. */
  readonly effects?: readonly string[];
  /** How often the next life asks for an approval. */
  readonly approvals?: number;
  /** How the turn ends in the next life; null: it had ended. */
  readonly end?: "task_complete" | "turn_aborted" | null;
  readonly lastMessage?: string | null;
  /** Turns that begin in the next life, since their input waited. */
  readonly turnsBehind?: number;
};

const isItem = (type: string) => (line: RolloutLine) => line.type === "response_item" && line.payload.type === type;
const isUser = (line: RolloutLine) =>
  line.type === "response_item" && line.payload.type === "message" && line.payload.role === "user" && said(line, "go");
const said = (line: RolloutLine, text: string): boolean => JSON.stringify(line).includes(`"${text}"`);
const isEnd = ({ type }: EventMsg): boolean => type === "task_complete";

const hasInput: DyingStep["reached"] = (lines) => lines.some(isUser);
const hasSaid =
  (text: string): DyingStep["reached"] =>
  (lines) =>
    lines.some((line) => said(line, text));
const inTool: DyingStep["reached"] = (lines, effects) => lines.some(isItem("function_call")) && effects.length > 0;

const isHeld = (line: RolloutLine): boolean => line.type === "submission" && line.payload.op !== undefined;

const usedUp = { input_tokens: 90, output_tokens: 20, total_tokens: 110 };

export const dyingSteps: readonly DyingStep[] = [
  {
    name: "before the request: it waits for its place",
    plays: [],
    waitsForPlace: true,
    reached: hasInput,
    asked: [["user: go"]],
  },
  { name: "in the request, before any answer", plays: [[hang()]], reached: hasInput, asked: [["user: go"]] },
  {
    name: "in the answer, behind an item that had ended",
    plays: [
      [
        say("first"),
        raw({ type: "item_added", item: { type: "message", role: "assistant", content: [], id: "half" } }),
        raw({ type: "text_delta", delta: "half a wo" }),
        hang(),
      ],
    ],
    reached: hasSaid("first"),
    asked: [["user: go", "assistant: first"]],
  },
  {
    name: "between the answer and its tool",
    plays: [[say("calling"), call("push"), hang()]],
    stopsBehind: () => false,
    reached: (lines) => lines.some(isItem("function_call")),
    asked: [["user: go", "assistant: calling", "call push", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["push"],
  },
  {
    name: "in a tool that is not idempotent",
    plays: [[call("push")]],
    reached: inTool,
    asked: [["user: go", "call push", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["push"],
  },
  {
    name: "in a tool that is idempotent",
    plays: [[call("put")]],
    reached: inTool,
    asked: [["user: go", "call put", "output: did put"]],
    effects: ["put", "put"],
  },
  {
    name: "in a tool, behind one that had ended",
    plays: [[call("quick"), call("push")]],
    reached: (lines, effects) => inTool(lines, effects) && lines.some(isItem("function_call_output")),
    asked: [["user: go", "call quick", "call push", "output: did quick", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["quick", "push"],
  },
  {
    name: "in two tools at once, one of each kind",
    plays: [[call("push"), call("put")]],
    reached: (lines, effects) => lines.filter(isItem("function_call")).length === 2 && effects.length === 2,
    asked: [["user: go", "call push", "call put", `output: ${UNKNOWN_EFFECT}`, "output: did put"]],
    effects: ["push", "put", "put"],
  },
  {
    name: "in an MCP server's tool that only reads",
    runsPrograms: true,
    plays: [[call("mcp__far__look")]],
    reached: inTool,
    asked: [["user: go", "call mcp__far__look", "output: did look"]],
    effects: ["look", "look"],
  },
  {
    name: "in an MCP server's tool that is idempotent",
    runsPrograms: true,
    plays: [[call("mcp__far__put")]],
    reached: inTool,
    asked: [["user: go", "call mcp__far__put", "output: did put"]],
    effects: ["put", "put"],
  },
  {
    name: "in an MCP server's tool of which nothing is known",
    runsPrograms: true,
    plays: [[call("mcp__far__push")]],
    reached: inTool,
    asked: [["user: go", "call mcp__far__push", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["push"],
  },
  {
    name: "in a shell command",
    runsPrograms: true,
    plays: [[call("shell_command", { command: "echo shell >> effects; sleep 15" })]],
    builtInTools: ["shell"],
    config: { approvalPolicy: "never", sandboxMode: "danger-full-access" },
    reached: inTool,
    asked: [["user: go", "call shell_command", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["shell"],
  },
  {
    name: "in an approval",
    runsPrograms: true,
    plays: [[call("shell_command", { command: "echo shell >> effects" })]],
    builtInTools: ["shell"],
    config: { approvalPolicy: "untrusted", sandboxMode: "danger-full-access" },
    reached: (lines) => lines.some((line) => line.type === "task" && line.payload.asking?.open === true),
    asked: [["user: go", "call shell_command", "output: Exit code: 0"]],
    approvals: 1,
    effects: ["shell"],
  },
  {
    name: "in an approval of an embedder's tool",
    plays: [[call("guarded")]],
    reached: (lines) => lines.some((line) => line.type === "task" && line.payload.asking?.open === true),
    asked: [["user: go", "call guarded", "output: did guarded"]],
    approvals: 1,
    effects: ["guarded"],
  },
  {
    name: "in an embedder's tool that was approved",
    plays: [[call("guarded")]],
    reached: inTool,
    asked: [["user: go", "call guarded", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["guarded"],
  },
  {
    name: "in a command that was approved",
    runsPrograms: true,
    plays: [[call("shell_command", { command: "echo shell >> effects; sleep 15" })]],
    builtInTools: ["shell"],
    config: { approvalPolicy: "untrusted", sandboxMode: "danger-full-access" },
    reached: inTool,
    asked: [["user: go", "call shell_command", `output: ${UNKNOWN_EFFECT}`]],
    effects: ["shell"],
  },
  {
    name: "in a compaction that was asked for",
    ops: ["compact"],
    before: 1,
    plays: [[say("ready")], [hang()]],
    reached: (lines) => lines.some((line) => line.type === "task" && line.payload.kind === "compact"),
    asked: [["user: before 0", "assistant: ready", "user: PROMPT"]],
    lastMessage: null,
  },
  {
    name: "behind a compaction that is stored",
    ops: ["compact"],
    before: 1,
    plays: [[say("ready")], [say("in short")]],
    stopsAt: isEnd,
    reached: (lines) => lines.some((line) => line.type === "compacted"),
    asked: [],
    lastMessage: null,
  },
  {
    name: "in a compaction that makes room for the turn",
    before: 1,
    config: { modelAutoCompactTokenLimit: 100, modelContextWindow: 1_000 },
    plays: [
      [say("ready"), { step: "usage", usage: { ...usedUp, cached_input_tokens: 0, reasoning_output_tokens: 0 } }],
      [hang()],
    ],
    reached: (lines) => lines.some((line) => line.type === "submission" && line.payload.op !== undefined),
    answers: [[say("in short")], [say("done")]],
    asked: [
      ["user: before 0", "assistant: ready", "user: PROMPT"],
      ["user: before 0", "user: SUMMARY in short", "user: go"],
    ],
  },
  {
    name: "between the last item and the end",
    plays: [[say("the answer")]],
    stopsAt: isEnd,
    reached: (lines) => lines.some((line) => line.type === "task" && line.payload.answered === true),
    asked: [],
    lastMessage: "the answer",
  },
  {
    name: "in the end's store",
    plays: [[say("the answer")]],
    stopsBehind: isEnd,
    reached: (lines) => lines.some((line) => line.type === "event_msg" && isEnd(line.payload)),
    asked: [],
    end: null,
  },
  {
    name: "in a tool, with input that has joined",
    ops: ["input", "joined"],
    plays: [[call("push")]],
    reached: (lines, effects) => inTool(lines, effects) && lines.some(isHeld),
    asked: [["user: go", "call push", `output: ${UNKNOWN_EFFECT}`, "user: joined"]],
    effects: ["push"],
  },
  {
    name: "between the last item and the end, with another turn behind it",
    ops: ["input", "late"],
    plays: [[say("the answer")]],
    stopsAt: isEnd,
    reached: (lines) => lines.some(isHeld),
    asked: [["user: go", "assistant: the answer", "user: late"]],
    turnsBehind: 1,
  },
  {
    name: "between two turns",
    ops: ["input", "late"],
    plays: [[say("the answer")]],
    stopsBehind: isEnd,
    reached: (lines) => lines.some(isHeld) && lines.some((line) => line.type === "event_msg" && isEnd(line.payload)),
    asked: [["user: go", "assistant: the answer", "user: late"]],
    end: null,
    turnsBehind: 1,
  },
];
