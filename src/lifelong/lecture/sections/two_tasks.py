"""Two tasks, one network: learned one after the other, and together."""

from lifelong.lecture.drawing import Bars, bars, percent
from lifelong.lecture.reading import row
from lifelong.lecture.section import Language, Measured, Picture, Section, Shown, Words

RECIPE = "lecture-two-tasks"


def show(measured: Measured, language: Language) -> Shown:
    """The accuracies on both tasks after each way of learning them."""
    results = measured[RECIPE]
    first, then = row(results, "finetune", 1), row(results, "finetune", 2)
    together = row(results, "joint", 2)
    names = [Words("noisy digits", "有噪聲的數字").said(language), Words("clean digits", "乾淨的數字").said(language)]
    ways = [
        Words("after the noisy digits", "學完有噪聲的數字之後"),
        Words("then the clean digits", "接著學乾淨的數字"),
        Words("both together", "兩個一起學"),
    ]
    title = Words("Accuracy on both tasks", "兩個任務的正確率").said(language)
    drawn = bars(title, names, [Bars(way.said(language), values) for way, values in zip(ways, (first, then, together), strict=True)])
    text = Words(
        f"A network with three layers of fifty neurons learns to read noisy digits ({percent(first[0])}). It reads clean digits, too, "
        f"without having seen one ({percent(first[1])}). Then it learns the clean ones, and the noisy ones are then at "
        f"{percent(then[0])}. It is not too small: trained on both together, it reaches {percent(together[0])} and {percent(together[1])}.",
        f"一個三層、每層五十個神經元的網路先學會讀有噪聲的數字（{percent(first[0])}）。它沒看過乾淨的數字，卻也讀得懂（{percent(first[1])}）。"
        f"接著讓它學乾淨的數字，有噪聲的數字的正確率變成 {percent(then[0])}。並不是網路太小：兩個任務一起學，"
        f"可以到 {percent(together[0])} 和 {percent(together[1])}。",
    )
    caption = Words(
        "Look for the shorter bar of the noisy digits in the middle group: that is forgetting.",
        "看中間那一組：有噪聲的數字變短的那一條，就是遺忘。",
    )
    return Shown([text.said(language)], [Picture(drawn, caption.said(language))])


SECTION = Section(
    name="two-tasks",
    title=Words("Two tasks, one after the other or together", "兩個任務：依序學，或一起學"),
    claim=Words(
        "A network that could have learned both tasks together forgets the first when it learns them one after the other.",
        "網路明明能同時學會兩個任務，依序學的時候卻會忘記第一個。",
    ),
    show=show,
    code=("src/lifelong/streams/mnist.py", "src/lifelong/training.py", "src/lifelong/methods/joint.py"),
    recipes={RECIPE: ("stream.data=mnist", "training.epochs=10")},
)
