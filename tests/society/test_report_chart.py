import pytest

from society.report_chart import chart, generation_chart


def dots(text):
    """Rows of the picture that hold a dot, by column, from the top."""
    lines = text.plain.split("\n")[1:-2]
    cells = [line.replace("┤", "│").partition("│")[2] for line in lines]
    return [
        {row for row, line in enumerate(cells) if column < len(line) and line[column] != " "}
        for column in range(max(map(len, cells)))
    ]


def test_a_rising_course_rises_from_corner_to_corner():
    picture = dots(chart([0.0, 0.25, 0.5, 0.75, 1.0], "gifts"))
    assert picture[0] == {7} and picture[-1] == {0}
    heights = [min(rows) for rows in picture]
    assert heights == sorted(heights, reverse=True)
    assert all(picture), "the line has no gaps"


def test_axes_are_labelled_with_round_numbers_around_the_values():
    lines = chart([12.0, 33.0, 18.0], "resources").plain.split("\n")
    assert lines[0].strip() == "resources"
    assert lines[1].split("┤")[0].strip() == "40" and lines[8].split("┤")[0].strip() == "10"
    assert lines[-1].split() == ["0", "2"]
    flat = chart([5.0, 5.0, 5.0], "flat").plain.split("\n")
    assert float(flat[1].split("┤")[0]) > 5 >= float(flat[8].split("┤")[0])


@pytest.mark.parametrize(
    ("measures", "shown"),
    [
        ({"a": 1.0, "gifts_by_generation": [0.1, 0.2, 0.3]}, True),
        ({"gifts_by_generation": [0.1, 0.2]}, False),
        ({"gifts_by_generation": [0.1, None, float("nan"), 0.3]}, False),
        ({"cooperation_by_round": [0.1, 0.2, 0.3]}, False),
    ],
)
def test_only_courses_over_generations_are_drawn(measures, shown):
    assert (generation_chart(measures) is not None) == shown
