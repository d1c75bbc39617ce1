"""The agent skill as a resource."""

from runflow_mcp.methods.context import Services
from runflow_mcp.methods.fixed_resources import FixedResource
from runflow_mcp.runflow.catalog.skill import SkillText

URI = "skill://runflow/SKILL.md"


def skill_resource(services: Services) -> FixedResource:
    """The skill as this process has it now."""
    return services.skill.current.cached(_resource)


def _resource(skill: SkillText) -> FixedResource:
    return FixedResource(
        uri=URI,
        name="runflow",
        title="Runflow agent skill",
        description="How to choose, run and resume models and Solutions on Runflow.",
        mime_type="text/markdown",
        text=skill.markdown,
        kind="skill",
    )
