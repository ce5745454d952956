// The tools, their keys, and the keyboard card.

export type Tool = "select" | "polygon" | "brush" | "erase" | "cut" | "split" | "click" | "box" | "wand";

export const TOOLS: readonly { tool: Tool; key: string; name: string; hint: string }[] = [
  { tool: "select", key: "v", name: "Select", hint: "click an object; shift adds; drag moves the picture" },
  { tool: "polygon", key: "p", name: "Polygon", hint: "click the corners, Enter closes; Shift+Enter adds it to the object that is selected" },
  { tool: "brush", key: "b", name: "Brush", hint: "paint onto the selected object, or a new one" },
  { tool: "erase", key: "e", name: "Erase", hint: "paint pixels away from the selected object" },
  { tool: "cut", key: "h", name: "Cut hole", hint: "click the corners of a hole in the selected object, Enter cuts" },
  { tool: "split", key: "s", name: "Split", hint: "drag a line across the selected object" },
  { tool: "click", key: "c", name: "Click", hint: "click an object to find it; Shift+click: here, too; Alt+click: not here" },
  { tool: "wand", key: "w", name: "Wand", hint: "click an area of one colour; Shift+click adds, Alt+click keeps out" },
  { tool: "box", key: "x", name: "Box", hint: "drag a box around an object to find it" },
];

export const KEYS: readonly [key: string, does: string][] = [
  ...TOOLS.map(({ key, name, hint }): [string, string] => [key.toUpperCase(), `${name}: ${hint}`]),
  ["← →", "image before, image after"],
  ["G", "all images"],
  ["+ − 0", "zoom in, out, fit; so does the wheel"],
  ["Middle button", "drag to move the picture, with any tool"],
  ["[ ]", "smaller, larger brush"],
  ["1 … 9", "class of the selected objects, and of what is drawn next"],
  ["Enter, Shift+Enter", "close a polygon as a new object, add it to the selected one; send again what could not be saved"],
  ["U, Shift+U", "put the selected objects above, below all others where they overlap"],
  ["M", "merge the selected objects"],
  ["F", "fill the holes of the selected object"],
  ["Delete", "delete the selected objects"],
  ["J", "copy the selected objects into the next image, and go there"],
  ["A", "take over the selected predictions as labels"],
  ["Z, Shift+Z", "undo, redo"],
  ["L, K", "labels, predictions: on or off"],
  ["N, R, O, I", "names, boxes, outlines, fill: on or off"],
  [", .", "in a review: finding before, finding after"],
  ["Y, T, D", "in a review: accept, repair, dismiss"],
  ["Esc", "give up what is being drawn; select nothing"],
  ["?", "this card"],
];
