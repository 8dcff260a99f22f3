
"use strict";
// Tables are sorted by a click on a head, and images are compared with a slider. Without this script both are whole.

const EMPTY = new Set(["", "–", "-"]);

/** The number with which a cell begins; null where it begins with none. */
function numberOf(text) {
  const found = /^[×≤<>~+]?\s*([-−+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)(?=$|[\s(%…/–;])/i.exec(text.trim());
  return found === null ? null : Number(found[1].replaceAll(",", "").replace("−", "-"));
}

/** Rows in the order of a column; cells without a value stand last, whatever the direction. */
function sorted(rows, column, isNumeric, direction) {
  const key = (row) => row.cells[column].textContent.trim();
  const isLast = (text) => EMPTY.has(text) || (isNumeric && numberOf(text) === null);
  return rows.toSorted((first, second) => {
    const [a, b] = [key(first), key(second)];
    if (isLast(a) || isLast(b)) return Number(isLast(a)) - Number(isLast(b));
    if (isNumeric) return direction * (numberOf(a) - numberOf(b));
    return direction * a.localeCompare(b, "en", {numeric: true});
  });
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  if (body === undefined) return;
  const rows = [...body.rows];
  heads.forEach((head, column) => {
    const texts = rows.map((row) => row.cells[column].textContent.trim()).filter((text) => !EMPTY.has(text));
    const isNumeric = texts.length > 0 && texts.filter((text) => numberOf(text) !== null).length * 2 > texts.length;
    if (isNumeric) [head, ...rows.map((row) => row.cells[column])].forEach((cell) => cell.classList.add("number"));
    if (rows.length < 2) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      body.replaceChildren(...sorted(rows, column, isNumeric, direction));
    });
  });
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function makeSlider(pictures) {
  const crops = [...pictures.querySelectorAll(".strip > figure")];
  const under = element("img"), over = element("img", "over"), edge = element("div", "edge");
  const [leftScore, rightScore] = [element("span"), element("span")];
  const range = element("input");
  Object.assign(range, {type: "range", min: 0, max: 100, value: 50});
  range.setAttribute("aria-label", "Boundary of both images, in percent");
  const place = () => {
    over.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`;
    edge.style.left = `${range.value}%`;
  };
  const choice = (label, chosen, image, score) => {
    const select = element("select");
    select.setAttribute("aria-label", `${label} image`);
    crops.forEach((crop) => select.append(new Option(crop.dataset.candidate)));
    select.selectedIndex = chosen;
    const show = () => {
      const crop = crops[select.selectedIndex];
      image.src = crop.querySelector("img").src;
      image.alt = crop.querySelector("img").alt;
      score.textContent = crop.querySelector("figcaption").lastChild.textContent.trim();
    };
    select.addEventListener("change", show);
    show();
    return element("label", "", label, select);
  };
  const stage = element("div", "stage", under, over, edge);
  const move = (event) => {
    if (event.type === "pointermove" && event.buttons !== 1) return;
    const box = stage.getBoundingClientRect();
    range.value = Math.round(100 * (event.clientX - box.left) / box.width);
    place();
    event.preventDefault();
  };
  stage.addEventListener("pointerdown", move);
  stage.addEventListener("pointermove", move);
  range.addEventListener("input", place);
  place();
  const middle = Math.max(0, crops.length - 2);
  pictures.querySelector(".strip").before(element("div", "slider",
    element("div", "choices", choice("Left", 0, over, leftScore), choice("Right", middle, under, rightScore)),
    stage, range, element("div", "scores", leftScore, rightScore)));
}

document.querySelectorAll("table").forEach(makeSortable);
document.querySelectorAll(".pictures").forEach(makeSlider);
