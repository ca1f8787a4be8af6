Feature: What is wrong is told

  Background:
    Given deployer is "local"
    And topology has 1 validators and 0 executors
    And run duration is 10 seconds

  Scenario: the topology has no executor
    Given data availability channel rate is 1 per block and blob rate is 1 per block
    When run scenario
    Then scenario should succeed

  Scenario: but failed otherwise
    Given data availability channel rate is 1 per block and blob rate is 1 per block
    When run scenario
    Then scenario should fail with "ConsensusLiveness"

  Scenario: there is no deployer `lokal`
    Given deployer is "lokal"
    When run scenario
    Then scenario should succeed

  Scenario: there is no layout `ring`
    Given topology layout is "ring"
    When run scenario
    Then scenario should succeed

  Scenario: is no phrase
    Given this is no phrase
    When run scenario
    Then scenario should succeed

  Scenario: nothing was run
    Given expect consensus liveness
    Then scenario should succeed
