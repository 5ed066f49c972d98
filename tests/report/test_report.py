"""The report: what stands on the page, and its plots as images."""

import dataclasses

from helpers.invented_comparison import a_comparison
from helpers.pages import unpack

from herl_bench.comparison.schema import BandPoint, FailedCell, Interval, Overall, to_json
from herl_bench.report.contents import describe_comparison
from herl_bench.report.report import to_html, try_report, write_plots


def test_the_page_says_what_the_comparison_says():
    comparison = a_comparison()
    page = to_html(describe_comparison(comparison))
    found, _, numbers = comparison.verdicts[0].partition(": ")
    assert f'<h1 class="verdict">{found}.</h1>' in page
    assert f'<p class="numbers">{numbers}</p>' in page
    assert page.index("0.085 (+0.035 to +0.135)") < page.index("<main")  # the chart that the verdict rests on
    texts = unpack(page)
    assert [p["left"] for p in texts["pairs"]] == [f.baseline_response for f in comparison.contrasts[0].flips]
    assert len(texts["audits"]) == sum(len(run.audits) for run in comparison.runs)
    assert [i["id"] for i in texts["items"]["gsm8k"]] == [i.id for i in comparison.tasks[0].items]


def test_criteria_that_guide_alone_are_marked():
    comparison = a_comparison()
    assert "guides only" not in to_html(describe_comparison(comparison))
    (items,) = comparison.tasks
    name = items.criteria[0]
    page = to_html(
        describe_comparison(dataclasses.replace(comparison, tasks=(dataclasses.replace(items, guides=(name,)),)))
    )
    assert f"Guide, and are not paid for: {name}." in page
    assert f'<th scope="row">{name} (guides only)</th>' in page


def test_two_tasks_stand_side_by_side_and_together():
    one, two = a_comparison(), a_comparison(task="bbh")
    together = tuple(
        Overall(arm.name, Interval(0.4, 0.3, 0.5, "a test's"), Interval(0.75, 0.6, 0.9, "a test's")) for arm in one.arms
    )
    joined = {
        name: getattr(one, name) + getattr(two, name)
        for name in ("tasks", "runs", "arm_scores", "contrasts", "verdicts")
    }
    page = to_html(describe_comparison(dataclasses.replace(one, **joined, overall=together)))
    for task in ("gsm8k", "bbh"):
        assert f"{task}: herl +0.085 (+0.035 to +0.135)" in page  # the chart above the verdicts has both
        assert f'<p class="verdict">herl is better than ppo on {task}.</p>' in page
        assert f"<h3>{task}</h3>" in page
    assert "The 2 tasks together" in page
    assert "75.0 %" in page
    assert "The 2 tasks together" not in to_html(describe_comparison(one))


def test_what_makes_a_comparison_doubtful_stands_at_its_top():
    comparison = dataclasses.replace(
        a_comparison(),
        unequal=("gsm8k: token budget: ppo has 1, herl has 2",),
        failed=(FailedCell("gsm8k", "herl", 2, "runs/x", "out <of> memory"),),
    )
    head = to_html(describe_comparison(comparison)).partition("</header>")[0]
    assert "ppo has 1, herl has 2" in head
    assert "seed 2: out &lt;of&gt; memory" in head


def test_a_run_without_revisions_that_could_be_judged_has_a_page_too():
    comparison = a_comparison()
    bare = tuple(
        dataclasses.replace(a, curve=(), criteria_curves={}, plain_vs_guided=(), repairs=())
        for a in comparison.arm_scores
    )
    runs = tuple(
        dataclasses.replace(
            r, audits=(), repairs=(), calibration=r.calibration and dataclasses.replace(r.calibration, reliability=())
        )
        for r in comparison.runs
    )
    page = to_html(describe_comparison(dataclasses.replace(comparison, arm_scores=bare, runs=runs)))
    assert 'id="bonus"' in page
    assert 'id="guidance"' not in page


def test_a_share_of_revisions_that_moved_is_told():
    comparison = a_comparison()
    assert "were kept for revisions" not in to_html(describe_comparison(comparison))
    band = (BandPoint(2_000, 0.25, 0.2, 0.3, 2), BandPoint(9_000, 0.08, 0.06, 0.1, 2))
    moved = tuple(dataclasses.replace(a, revise_share=band if a.arm == "herl" else ()) for a in comparison.arm_scores)
    page = to_html(describe_comparison(dataclasses.replace(comparison, arm_scores=moved)))
    assert page.count("of the responses, 25.0 % were kept for revisions at first, 8.0 % at the end") == 1


def test_evaluations_while_training_are_a_curve_and_say_how_soon():
    comparison = a_comparison(arms=("ppo", "herl", "grpo"))
    page = to_html(describe_comparison(comparison))
    assert "What ppo ended with is reached, and kept, by herl after 38,000 tokens, by grpo never.</p>" in page
    bare = tuple(dataclasses.replace(a, held_out=()) for a in comparison.arm_scores)
    assert "Evaluated while training" not in to_html(
        describe_comparison(dataclasses.replace(comparison, arm_scores=bare))
    )


def test_main_plots_as_images(tmp_path):
    (tmp_path / "compare.json").write_text(to_json(a_comparison()))
    paths = write_plots(tmp_path)
    own = [f"gsm8k-{n}.png" for n in ("scores", "curves", "held-out", "calibration", "criteria-ppo", "criteria-herl")]
    assert [path.name for path in paths] == ["differences.png", *own]
    assert all(path.parent == tmp_path / "plots" and path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert write_plots(tmp_path, tmp_path / "else")[0].read_bytes() == paths[0].read_bytes()


def test_a_plot_of_an_unequal_comparison_says_so(tmp_path):
    from PIL import Image

    words = "gsm8k: token budget: ppo has 1; herl has 2"
    images = {}
    for unequal in ((), (words,)):
        (tmp_path / "compare.json").write_text(to_json(dataclasses.replace(a_comparison(), unequal=unequal)))
        images[unequal] = Image.open(write_plots(tmp_path, tmp_path / str(len(unequal)))[0])
    fair, unfair = images.values()
    assert unfair.text["Title"] == f"{fair.text['Title']}. Not a fair comparison: {words}"
    assert unfair.width == fair.width
    assert unfair.height > fair.height  # a line under the chart


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "compare.json").write_text(to_json(a_comparison()))
    try_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == to_html(describe_comparison(a_comparison()))
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    try_report(tmp_path)
    assert f"warning: no report of {tmp_path}: SaveError" in caplog.text
